"""The main job as a stranger starts it, in processes of its own: to its end, again, and killed in three places."""

from pathlib import Path

import pytest

from apps.core.tests.installation import free_port
from apps.workspace.tests.test_quickstart import REPORT_KEYS
from scripts import kill_test
from scripts.kill_lib.kills import plan_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def var_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calm") / "var"


@pytest.fixture(scope="module")
def calm(var_dir: Path) -> kill_test.Ended:
    """A first start that nothing interrupted."""
    return kill_test.run_once(var_dir, port=free_port())


def test_headless_it_ends_with_a_report_leaves_no_process_and_is_quick_the_second_time(
    calm: kill_test.Ended, var_dir: Path
) -> None:
    assert calm.code == 0, calm.output[-3000:]
    assert set(calm.report) >= REPORT_KEYS
    assert calm.report["memory_mib"]["peak_pss"] > 100
    assert calm.report["training"]["tokens_per_second"] > 0
    assert kill_test.check_books(var_dir)["problems"] == []
    assert "Open this page" in calm.output
    assert calm.report["conclusion"]["text"].split()[0] in calm.output
    assert calm.left == ()

    second = kill_test.run_once(var_dir, port=free_port())
    assert second.code == 0, second.output[-3000:]
    assert second.report == calm.report
    assert second.seconds < calm.seconds
    assert second.left == ()


def test_a_run_that_is_killed_in_three_places_ends_like_one_that_is_not(
    calm: kill_test.Ended, var_dir: Path, tmp_path: Path
) -> None:
    assert kill_test.judge(calm, calm.report, var_dir) == []
    plan = plan_for(11, 6)
    assert plan.fault == "register:1"
    folder = tmp_path / "killed"
    ended = kill_test.run_once(folder, port=free_port(), plan=plan, lifetimes=calm.lifetimes)
    assert kill_test.judge(ended, calm.report, folder, plan) == []
    assert kill_test.missed(ended, plan) == []
    assert len(ended.deaths) == 3
