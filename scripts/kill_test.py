"""Kill processes in the middle of a small quickstart and compare what comes out with an uninterrupted run.

    python scripts/kill_test.py [--runs 7] [--seed 1]

Each run of seven dies once inside one of reserve, call, settle, claim, spawn, checkpoint write and register, and loses
two of trainer, host, worker, web and inference to `kill -9` from outside: 21 kills. Only those that certainly happened
are counted, and the exit status is 0 only if at least 20 of 21 did.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from apps.core.processes.tree import kill_all  # noqa: E402 - the root must be on the path first
from scripts.kill_lib.compare import differences  # noqa: E402 - as above
from scripts.kill_lib.kills import Killer, Plan, plan_for, processes_of  # noqa: E402 - as above
from scripts.kill_lib.small import write_small  # noqa: E402 - as above
from scripts.setup_lib.checks import choose_port  # noqa: E402 - as above

RUN_SECONDS = 420
# Training saves, and everything ends in order.
STOP_SECONDS = 120
ASKED_KILLS, ASKED_RUNS = 20, 7
CHECK = """
import json, sys
from scripts.kill_lib.books import facts, problems
print(json.dumps({"problems": problems(deaths=json.loads(sys.argv[1])), "facts": facts()}))
"""


@dataclass(frozen=True)
class Ended:
    """How one run ended."""

    code: int
    seconds: float
    report: dict[str, Any]
    output: str
    # What certainly died by our hand from outside, and when something died, inside or outside.
    killed: tuple[str, ...] = ()
    deaths: tuple[float, ...] = ()
    # Command lines of processes that outlived the run.
    left: tuple[str, ...] = ()
    # How long each kind of process was there.
    lifetimes: Mapping[str, float] = field(default_factory=dict)


def clean_environment() -> dict[str, str]:
    """Ours without what would change how the product runs."""
    foreign = ("LLMOPT_", "Q_CLUSTER", "DATABASE_URL", "REDIS_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def environment(var_dir: Path, **more: str) -> dict[str, str]:
    own = {
        "LLMOPT_VAR_DIR": str(var_dir),
        "HEADLESS": "1",
        "REPORT": str(var_dir / "report.json"),
        "OPENBLAS_NUM_THREADS": "1",
        "DJANGO_SETTINGS_MODULE": "llmopt.settings.dev",
    }
    return {**clean_environment(), **own, **more}


def run_once(
    var_dir: Path, *, port: int, plan: Plan | None = None, lifetimes: Mapping[str, float] | None = None
) -> Ended:
    """One start of the product on `var_dir`, killed by `plan`, until it ends by itself.

    `lifetimes` are those of an uninterrupted run: they say when each victim's time has come.
    """
    definition = write_small(var_dir)
    more = {}
    if plan is not None:
        marks = var_dir / "faults"
        marks.mkdir()
        more = {"LLMOPT_FAULT": plan.fault, "LLMOPT_FAULT_DIR": str(marks)}
    killer = Killer(var_dir, plan.kills if plan is not None else (), lifetimes or {})
    started = time.monotonic()
    command = [sys.executable, "manage.py", "up", "--port", str(port), "--definition", str(definition)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(var_dir, **more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    killer.start()
    try:
        output = output_of(process)
    finally:
        killer.stop()
        left = processes_of(var_dir)
        kill_all(left)
    report = var_dir / "report.json"
    inside = [died_inside(var_dir, plan)] if plan is not None else []
    return Ended(
        code=process.returncode,
        seconds=time.monotonic() - started,
        report=json.loads(report.read_text()) if report.exists() else {},
        output=output,
        killed=tuple(killer.done),
        deaths=(*killer.times, *(at for at in inside if at is not None)),
        left=tuple(found.command for found in left),
        lifetimes=killer.seen(),
    )


def output_of(process: "subprocess.Popen[str]") -> str:
    """What a run printed. One that takes too long is stopped and waited for: its folder is removed after it."""
    try:
        return process.communicate(timeout=RUN_SECONDS)[0]
    except BaseException as error:
        process.terminate()
        printed = process.communicate(timeout=STOP_SECONDS)[0]
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        return f"{printed}\nstopped after {RUN_SECONDS} s"


def check_books(var_dir: Path, deaths: Sequence[float] = ()) -> dict[str, Any]:
    """What the database says, asked in a process of its own with the run's settings."""
    result = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{CHECK}", json.dumps(deaths)],
        cwd=ROOT, env=environment(var_dir), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def died_inside(var_dir: Path, plan: Plan) -> float | None:
    """When the run died inside the plan's point (seconds since the epoch); None if it never did."""
    mark = var_dir / "faults" / plan.fault.partition(":")[0]
    return mark.stat().st_mtime if mark.exists() else None


def judge(ended: Ended, expected: dict[str, Any], var_dir: Path, plan: Plan | None = None) -> list[str]:
    """Everything that is wrong with a run."""
    left = [f"still there when it had ended: {command}" for command in ended.left]
    if ended.code != 0:
        return [*left, f"ended with exit code {ended.code}: {ended.output[-1500:]}"]
    books = check_books(var_dir, ended.deaths)
    print(f"    {books['facts']}", flush=True)
    never = [f"the run never died inside {plan.fault}"] if plan and died_inside(var_dir, plan) is None else []
    return [*left, *never, *differences(expected, ended.report), *books["problems"]]


def missed(ended: Ended, plan: Plan) -> list[str]:
    """Victims of the plan that were not killed: they ended before their time came, or were never there."""
    return [kill.victim for kill in plan.kills if kill.victim not in ended.killed]


def verdict(*, kills: int, runs: int, failed: int) -> int:
    """The exit status. Too few kills prove too little, however well the runs went."""
    asked = math.ceil(ASKED_KILLS * runs / ASKED_RUNS)
    print(f"{kills} confirmed kills in {runs} runs, at least {asked} asked for; {failed} runs with problems")
    return 1 if failed or kills < asked else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=ASKED_RUNS)
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first run: which points and victims come up"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--port", type=int, default=8750, help="where the first free port is looked for")
    parser.add_argument("--keep", action="store_true", help="keep the folders of the runs")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="llmopt-kills-"))
    kills = failed = 0
    try:
        calm = run_once(folder / "calm", port=choose_port(options.port)[0])
        print(f"uninterrupted: {calm.seconds:.0f} s", flush=True)
        if wrong := judge(calm, calm.report, folder / "calm"):
            print("; ".join(wrong))
            return 1
        for number in range(options.first, options.first + options.runs):
            plan = plan_for(options.seed + number, number)
            print(f"run {number}: {plan}", flush=True)
            var_dir = folder / f"run-{number}"
            ended = run_once(var_dir, port=choose_port(options.port)[0], plan=plan, lifetimes=calm.lifetimes)
            wrong = judge(ended, calm.report, var_dir, plan)
            kills += len(ended.deaths)
            failed += bool(wrong)
            if late := missed(ended, plan):
                print(f"    ended before they could be killed: {', '.join(late)}", flush=True)
            print(f"    {ended.seconds:.0f} s, {'; '.join(wrong) or 'same result, books in order'}", flush=True)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return verdict(kills=kills, runs=options.runs, failed=failed)


if __name__ == "__main__":
    sys.exit(main())
