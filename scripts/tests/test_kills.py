"""The script that kills: its plans cover everything, its comparison sees every difference, and a run survives."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import kill_test
from scripts.kill_lib.compare import differences
from scripts.kill_lib.kills import FAULTS, VICTIMS, Kill, Killer, Plan, plan_for

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
        ["grep", "-rlE", rf"fault_point\(\"{point}\"\)|\"{point}\"", "apps", "--include=*.py", "--exclude-dir=tests"],
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


def test_the_killer_kills_only_processes_of_its_own_folder(tmp_path: Path) -> None:
    code = "import time; time.sleep(60)  # training_host"
    mine, other = (
        subprocess.Popen([sys.executable, "-c", code], env={"LLMOPT_VAR_DIR": str(folder)})
        for folder in (tmp_path / "mine", tmp_path / "other")
    )
    killer = Killer(tmp_path / "mine", Plan(seed=1, fault="call:1", kills=(Kill("host", 0.1),)))
    killer.start()
    try:
        assert mine.wait(10) == -9
        assert killer.done == ["host"]
        assert other.poll() is None
    finally:
        killer.stop()
        other.kill()
        other.wait()


@pytest.mark.slow
def test_a_run_that_is_killed_in_three_places_ends_like_one_that_is_not(tmp_path: Path) -> None:
    calm = kill_test.run_once(tmp_path / "calm", port=8763)
    assert calm.code == 0, calm.output[-3000:]
    plan = plan_for(11, 6)
    assert plan.fault == "register:1"
    folder = tmp_path / "killed"
    ended = kill_test.run_once(folder, port=8763, plan=plan)
    assert kill_test.judge(ended, calm.report, folder, plan) == []
