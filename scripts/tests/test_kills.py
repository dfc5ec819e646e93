"""The script that kills: its plans cover everything, it sees differences, counts true kills, and a run survives."""

import copy
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import Team
from apps.billing.models import Reservation
from apps.core.processes.tree import process_key
from apps.core.tests.factories import LanguageModelFactory, PriceFactory, entry_of
from apps.core.tests.installation import wait_for
from scripts import kill_test
from scripts.kill_lib.books import unknown_problems
from scripts.kill_lib.compare import differences
from scripts.kill_lib.kills import FAULTS, VICTIMS, Kill, Killer, Plan, killed, plan_for

ROOT = Path(__file__).resolve().parents[2]


def test_seven_runs_pass_every_point_and_hit_every_kind_of_process() -> None:
    plans = [plan_for(seed, seed) for seed in range(7)]
    assert {plan.fault.partition(":")[0] for plan in plans} == set(FAULTS)
    assert {kill.victim for plan in plans for kill in plan.kills} == set(VICTIMS)
    assert sum(len(plan.kills) + 1 for plan in plans) >= 20


def test_a_seed_always_gives_the_same_plan_and_says_it() -> None:
    assert plan_for(5, 3) == plan_for(5, 3)
    assert plan_for(5, 3) != plan_for(6, 3)
    assert "seed 5" in str(plan_for(5, 3))


@pytest.mark.parametrize("point", FAULTS)
def test_every_point_exists_in_the_product(point: str) -> None:
    found = subprocess.run(
        ["grep", "-rlF", f'fault_point("{point}")', "apps", "--include=*.py", "--exclude-dir=tests"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert found.stdout.strip(), f"nobody passes {point}"


REPORT: dict[str, Any] = {
    "conclusion": {"kind": "better"},
    "examples": [{"id": "1", "input": "a", "expected": "b"}],
    "candidates": [
        {
            "name": "A",
            "outputs": [{"example": "1", "repeat": 0, "text": "t", "valid": True, "error": None, "latency_ms": 1.0}],
            "metrics": {"field_f1": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 1}},
            "latency_ms": {"p50": 1.0},
        }
    ],
    "comparisons": [
        {"metric": "field_f1", "candidate": "A", "reference": "B", "difference": 0.1, "low": 0.0, "high": 0.2,
         "p": 0.5, "p_adjusted": None}
    ],
    "seconds": {"total": 3.0},
}  # fmt: skip


def test_equal_reports_do_not_differ_whatever_they_took() -> None:
    other = copy.deepcopy(REPORT)
    other["seconds"]["total"] = 99.0
    other["candidates"][0]["latency_ms"]["p50"] = 9.0
    other["candidates"][0]["outputs"][0]["latency_ms"] = 9.0
    assert differences(REPORT, other) == []


@pytest.mark.parametrize(
    "path",
    [
        ("conclusion", "kind"),
        ("examples", 0, "expected"),
        ("candidates", 0, "outputs", 0, "text"),
        ("candidates", 0, "outputs", 0, "valid"),
        ("candidates", 0, "outputs", 0, "error"),
        ("candidates", 0, "metrics", "field_f1", "low"),
        ("candidates", 0, "metrics", "field_f1", "n"),
        ("comparisons", 0, "p_adjusted"),
        ("comparisons", 0, "difference"),
    ],
)
def test_each_difference_that_matters_is_said(path: tuple[Any, ...]) -> None:
    other = copy.deepcopy(REPORT)
    place: Any = other
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = "changed"
    (said,) = differences(REPORT, other)
    assert "changed" in said


def test_an_output_too_many_or_too_few_is_said() -> None:
    other = copy.deepcopy(REPORT)
    other["candidates"][0]["outputs"].append({"example": "2", "repeat": 0, "text": "t", "valid": True, "error": None})
    assert len(differences(REPORT, other)) == len(differences(other, REPORT)) == 1


def sleeping(folder: Path, *, seconds: float = 60) -> "subprocess.Popen[bytes]":
    """A process that looks like a training host of this folder."""
    code = f"import time; time.sleep({seconds})  # training_host"
    return subprocess.Popen([sys.executable, "-c", code], env={"LLMOPT_VAR_DIR": str(folder)})


def test_the_killer_kills_only_processes_of_its_own_folder(tmp_path: Path) -> None:
    mine, other = sleeping(tmp_path / "mine"), sleeping(tmp_path / "other")
    killer = Killer(tmp_path / "mine", (Kill("host", 0.5),), {"host": 0.2})
    killer.start()
    try:
        assert mine.wait(10) == -9
        wait_for(lambda: killer.done == ["host"], what="the kill to be confirmed")
        assert len(killer.times) == 1
        assert other.poll() is None
        assert killer.seen()["host"] >= 0.1
    finally:
        killer.stop()
        other.kill()
        other.wait()


def test_a_victim_that_is_away_when_its_time_comes_is_waited_for(tmp_path: Path) -> None:
    first = sleeping(tmp_path)
    killer = Killer(tmp_path, (Kill("host", 1.0),), {"host": 1.0})
    killer.start()
    try:
        wait_for(lambda: "host" in killer.seen(), what="the first host to be seen")
        first.kill()
        first.wait()
        assert sleeping(tmp_path).wait(10) == -9
    finally:
        killer.stop()
    assert killer.done == ["host"]


def test_a_process_that_had_ended_was_not_killed(tmp_path: Path) -> None:
    process = sleeping(tmp_path)
    key = process_key(process.pid)
    assert key is not None
    process.kill()
    process.wait()
    assert not killed(key)
    killer = Killer(tmp_path, (Kill("host", 0.0),))
    killer.start()
    killer.stop()
    assert (killer.done, killer.times, killer.seen()) == ([], [], {})


def made(**changes: Any) -> kill_test.Ended:
    plain = kill_test.Ended(code=0, seconds=1.0, report=REPORT, output="", killed=("host", "trainer"))
    return replace(plain, **changes)


PLAN = Plan(seed=1, fault="call:1", kills=(Kill("host", 0.1), Kill("trainer", 0.2)))


@pytest.fixture
def died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that died at its point and whose books are in order."""
    monkeypatch.setattr(kill_test, "check_books", lambda var_dir, deaths: {"problems": [], "facts": {}})
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "call").touch()
    return tmp_path


def test_a_run_is_judged_by_what_it_leaves(died: Path) -> None:
    assert kill_test.judge(made(), REPORT, died, PLAN) == []
    assert kill_test.judge(made(left=("python engine",)), REPORT, died, PLAN) == [
        "still there when it had ended: python engine"
    ]
    (died / "faults" / "call").unlink()
    assert kill_test.judge(made(), REPORT, died, PLAN) == ["the run never died inside call:1"]


def test_victims_that_ended_before_their_time_are_named() -> None:
    assert kill_test.missed(made(), PLAN) == []
    assert kill_test.missed(made(killed=("host",)), PLAN) == ["trainer"]


@pytest.mark.parametrize(
    ("kills", "runs", "failed", "status"), [(20, 7, 0, 0), (19, 7, 0, 1), (21, 7, 1, 1), (3, 1, 0, 0), (2, 1, 0, 1)]
)
def test_too_few_kills_are_a_failure(kills: int, runs: int, failed: int, status: int) -> None:
    assert kill_test.verdict(kills=kills, runs=runs, failed=failed) == status


SAVES = """
import signal, sys, time
def save(number, frame):
    open(sys.argv[1] + "/saved", "w").close()
    sys.exit(3)
signal.signal(signal.SIGTERM, save)
open(sys.argv[1] + "/ready", "w").close()
time.sleep(60)
"""


def test_a_run_that_takes_too_long_is_stopped_in_order_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = subprocess.Popen([sys.executable, "-c", SAVES, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    wait_for((tmp_path / "ready").exists, what="the run to be ready")
    monkeypatch.setattr(kill_test, "RUN_SECONDS", 0.01)
    assert "stopped after" in kill_test.output_of(process)
    assert process.returncode == 3
    assert (tmp_path / "saved").exists()


@pytest.mark.django_db
def test_unknown_entries_are_counted_against_what_was_interrupted(team: Team) -> None:
    death = timezone.now()
    attempt = reservation(team, sent_at=death - timedelta(seconds=2), closed_at=death + timedelta(seconds=30))
    entry_of(attempt, kind="unknown")
    assert unknown_problems([death.timestamp()]) == []
    assert unknown_problems([death.timestamp() - 3600, death.timestamp()]) == []
    loose = ["1 unknown entries for attempts that nothing interrupted"]
    assert unknown_problems([]) == loose
    assert unknown_problems([death.timestamp() - 3600]) == loose
    assert unknown_problems([death.timestamp() + 3600]) == loose


def reservation(team: Team, *, sent_at: datetime, closed_at: datetime) -> Reservation:
    price = PriceFactory.create(team=team)
    return Reservation.objects.create(
        team=team, language_model=LanguageModelFactory.create(team=team), price=price, purpose="p", held_nanousd=1,
        state="unknown", sent_at=sent_at, closed_at=closed_at, expires_at=closed_at,
    )  # fmt: skip
