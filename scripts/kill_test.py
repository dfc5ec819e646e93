"""Kill processes in the middle of a small quickstart and compare what comes out with an uninterrupted run.

    python scripts/kill_test.py [--runs 7] [--seed 1]

Each run of seven dies once inside one of reserve, call, settle, claim, spawn, checkpoint write and register, and loses
two of trainer, host, worker, web and inference to `kill -9` from outside: 21 kills. Those that happened are counted.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.kill_lib.compare import differences  # noqa: E402 - the root must be on the path first
from scripts.kill_lib.kills import Killer, Plan, plan_for  # noqa: E402 - as above
from scripts.kill_lib.small import write_small  # noqa: E402 - as above

RUN_SECONDS = 420
CHECK = """
import json
from scripts.kill_lib.books import facts, problems
print(json.dumps({"problems": problems(), "facts": facts()}))
"""


@dataclass(frozen=True)
class Ended:
    """How one run ended."""

    code: int
    seconds: float
    report: dict[str, Any]
    output: str
    # What was killed from outside; a process may have ended before its time came.
    killed: tuple[str, ...] = ()


def environment(var_dir: Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LLMOPT_", "Q_CLUSTER"))}
    clean.pop("DATABASE_URL", None)
    own = {
        "LLMOPT_VAR_DIR": str(var_dir),
        "HEADLESS": "1",
        "REPORT": str(var_dir / "report.json"),
        "OPENBLAS_NUM_THREADS": "1",
        "DJANGO_SETTINGS_MODULE": "llmopt.settings.dev",
    }
    return {**clean, **own, **more}


def run_once(var_dir: Path, *, port: int, plan: Plan | None = None) -> Ended:
    """One start of the product on `var_dir`, killed by `plan`, until it ends by itself."""
    definition = write_small(var_dir)
    more = {}
    if plan is not None:
        marks = var_dir / "faults"
        marks.mkdir()
        more = {"LLMOPT_FAULT": plan.fault, "LLMOPT_FAULT_DIR": str(marks)}
    killer = Killer(var_dir, plan) if plan is not None else None
    started = time.monotonic()
    command = [sys.executable, "manage.py", "up", "--port", str(port), "--definition", str(definition)]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(var_dir, **more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if killer is not None:
        killer.start()
    try:
        output, _ = process.communicate(timeout=RUN_SECONDS)
    finally:
        process.terminate()
        if killer is not None:
            killer.stop()
    report = var_dir / "report.json"
    content = json.loads(report.read_text()) if report.exists() else {}
    killed = tuple(killer.done) if killer is not None else ()
    return Ended(process.returncode, time.monotonic() - started, content, output, killed)


def check_books(var_dir: Path) -> dict[str, Any]:
    """What the database says, asked in a process of its own with the run's settings."""
    result = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{CHECK}"],
        cwd=ROOT, env=environment(var_dir), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def died_inside(var_dir: Path, plan: Plan) -> bool:
    return (var_dir / "faults" / plan.fault.partition(":")[0]).exists()


def judge(ended: Ended, expected: dict[str, Any], var_dir: Path, plan: Plan) -> list[str]:
    """Everything that is wrong with an interrupted run."""
    if ended.code != 0:
        return [f"ended with exit code {ended.code}: {ended.output[-1500:]}"]
    books = check_books(var_dir)
    print(f"    {books['facts']}", flush=True)
    missed = [] if died_inside(var_dir, plan) else [f"the run never died inside {plan.fault}"]
    return [*missed, *differences(expected, ended.report), *books["problems"]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first run: which points and victims come up"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--port", type=int, default=8750)
    parser.add_argument("--keep", action="store_true", help="keep the folders of the runs")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="llmopt-kills-"))
    kills = failed = 0
    try:
        calm = run_once(folder / "calm", port=options.port)
        if calm.code != 0:
            print(calm.output)
            return 1
        print(f"uninterrupted: {calm.seconds:.0f} s, {check_books(folder / 'calm')}", flush=True)
        for number in range(options.first, options.first + options.runs):
            plan = plan_for(options.seed + number, number)
            print(f"run {number}: {plan}", flush=True)
            var_dir = folder / f"run-{number}"
            ended = run_once(var_dir, port=options.port, plan=plan)
            wrong = judge(ended, calm.report, var_dir, plan)
            kills += len(ended.killed) + died_inside(var_dir, plan)
            missed = [kill.victim for kill in plan.kills if kill.victim not in ended.killed]
            if missed:
                print(f"    ended before they could be killed: {', '.join(missed)}", flush=True)
            failed += bool(wrong)
            print(f"    {ended.seconds:.0f} s, {'; '.join(wrong) or 'same result, books in order'}", flush=True)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{kills} kills in {options.runs} runs, {failed} runs with problems")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
