"""The whole main job on the demo data, watched in Chromium from its printed link as a person would.

Seconds of each phase and peak memory come from the report. The browser says when the first output was on the page,
when the first row of a model had its figure, and the longest time during which no visible text changed. Ages and
countdowns ("5 s ago") tick by themselves and do not count as a change.

Takes a quarter of an hour, so `python -m benchmarks` runs it only by name. The floors are what the product promises.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import figures, machine, models
from scripts.kill_test import clean_environment
from scripts.setup_lib.chromium import find_chromium

TOTAL_SECONDS, PEAK_MIB, OUTPUT_SECONDS, ROW_SECONDS, STILL_SECONDS = 20 * 60, 4096, 60, 5 * 60, 10
LINK = "Open this page"
SAMPLE_SECONDS = 0.5
# What is on the page now: whether an output is shown, the model rows that have a figure, and all text that does not
# tick by itself.
LOOK = r"""() => {
  const rows = [...document.querySelectorAll("#leaderboard tbody tr")].filter((row) =>
    /Prompted|Tuned/i.test(row.cells[0]?.innerText ?? "") && /^\s*\d\.\d/.test(row.cells[1]?.innerText ?? ""));
  const latest = [...document.querySelectorAll("section")].find((part) => /^Latest output/.test(part.innerText));
  const ticking = [...document.querySelectorAll("time, [data-elapsed]")].map((part) => part.innerText);
  let text = document.querySelector("main").innerText;
  for (const part of ticking) text = text.replace(part, "");
  const output = !!latest && /Output\s*\S/.test(latest.innerText.replace(/^Latest output/, ""));
  return { output, rows: rows.length, text };
}"""


@dataclass
class Watched:
    """What the browser saw; seconds since the link was printed."""

    first_output: float | None = None
    first_row: float | None = None
    still: list[tuple[float, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def main() -> int:
    parser = figures.options(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(repeats=1)
    parser.add_argument("--second-seed", action="store_true", help="the definition's second split seed")
    parser.add_argument("--report", type=Path, help="also keep the last report here")
    given = parser.parse_args()
    models.require(models.MODELS / models.NAME / "ct2", models.ADDRESSES)
    return max(_run(second_seed=given.second_seed, keep=given.report) for _ in range(given.repeats))


def _run(*, second_seed: bool, keep: Path | None) -> int:
    with tempfile.TemporaryDirectory(prefix="llmopt-main-job-") as folder:
        report = Path(folder) / "report.json"
        with _started(Path(folder), report, second_seed=second_seed) as (process, link):
            watched = _watch(link, process, time.monotonic())
            code = process.wait(timeout=120)
        if code or not report.exists():
            print(f"main job: ended with exit code {code}", file=sys.stderr)
            return 1
        if keep:
            shutil.copy(report, keep)
        _show(json.loads(report.read_text(encoding="utf-8")), watched)
    return 0


@contextmanager
def _started(folder: Path, report: Path, *, second_seed: bool) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The product in a folder of its own, with the installed model; yields its process and the sign-in link."""
    for part in ("artifacts/models", "assets"):
        shutil.copytree(models.VAR / part, folder / "var" / part, copy_function=_link_or_copy)
    command = [sys.executable, "scripts/run.py", *(["--second-seed"] if second_seed else [])]
    environment = {**clean_environment(), "LLMOPT_VAR_DIR": str(folder / "var"), "HEADLESS": "1", "REPORT": str(report)}
    process = subprocess.Popen(command, cwd=machine.ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield process, _link(process)
    finally:
        process.terminate()
        process.wait()


def _link_or_copy(source: str, target: str) -> None:
    """Half a gigabyte of weights: a second name where the file system allows one."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _link(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        print(line, end="", flush=True)
        if line.startswith(LINK):
            threading.Thread(target=_print_rest, args=(process.stdout,), daemon=True).start()
            return line.split(": ", 1)[1].strip()
    raise RuntimeError("the product ended before it printed a link")


def _print_rest(output: Any) -> None:
    for line in output:
        print(line, end="", flush=True)


def _watch(link: str, process: subprocess.Popen[str], began: float) -> Watched:
    from playwright.sync_api import Error, sync_playwright

    watched = Watched()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda message: watched.problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: watched.problems.append(str(error)))
        page.goto(link)
        page.wait_for_url("**/experiments/**")
        text, changed = "", time.monotonic()
        while process.poll() is None:
            now = time.monotonic()
            try:
                seen = page.evaluate(LOOK)
            except Error:
                if process.poll() is None:
                    raise
                break
            if seen["output"] and watched.first_output is None:
                watched.first_output = now - began
            if seen["rows"] and watched.first_row is None:
                watched.first_row = now - began
            if seen["text"] != text:
                watched.still.append((now - changed, changed - began))
                text, changed = seen["text"], now
            time.sleep(SAMPLE_SECONDS)
        watched.still.append((time.monotonic() - changed, changed - began))
        browser.close()
    return watched


def _show(report: dict[str, Any], watched: Watched) -> None:
    seconds = report["seconds"]
    still, at = max(watched.still)
    for what, value, limit, unit in (
        ("the whole job", seconds["total"], TOTAL_SECONDS, "s"),
        ("peak memory, sum of PSS", report["memory_mib"]["peak_pss"], PEAK_MIB, "MiB"),
        ("first output on the page", watched.first_output, OUTPUT_SECONDS, "s"),
        ("first row of a model", watched.first_row, ROW_SECONDS, "s"),
        (f"longest without a visible change (at {at:.0f} s)", still, STILL_SECONDS, "s"),
    ):
        share = "" if value is None else f"{value:,.1f} {unit}, {value / limit:.2f} of the {limit:,} {unit} allowed"
        print(f"main job: {what}: {share or 'never'}")
    phases = ", ".join(f"{phase} {value:.0f} s" for phase, value in seconds.items() if phase != "total")
    print(f"main job: {phases}; load now {machine.load()}")
    print(f"main job: problems in the browser: {watched.problems or 'none'}")
    print(f"main job: {report['conclusion']['kind']}: {report['conclusion']['text']}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
