"""The order of the set-up, and what is said about it."""

import argparse
import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import assets, checks, dotenv, environment
from .chromium import ensure_chromium
from .console import clock_text, say
from .dependencies import ROOT
from .errors import SetupError

# Measured on Linux x86_64 with the CPU build of torch: the wheels of a group, and what .venv takes afterwards.
DOWNLOAD_MB = {"run": 419, "dev": 566}
INSTALLED_GB = {"run": 1.9, "dev": 2.6}
# Downloads in progress, the model in three forms, the database and the training runs of a first quickstart.
WORKING_GB = 3.0
# The fetched files and the model restored from them.
ASSETS_GB = 1.2
DISK_WHEN_INSTALLED_GB = 1.0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/setup.py", description="Set LLMOpt up on this machine.")
    parser.add_argument("--dev", action="store_true", help="also install what the checks and the tests need")
    parser.add_argument("--browser", action="store_true", help="also make sure that there is a Chromium")
    parser.add_argument("--start", action="store_true", help="a start follows: look for a free port too")
    parser.add_argument("--no-assets", action="store_true", help="leave out the demo model and data")
    return parser.parse_args(arguments)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Two set-ups in one clone would install over each other: the second one waits."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set-up is running in this folder; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def first_checks(*, group: str, installed: bool, with_assets: bool, with_port: bool) -> None:
    """Look at disk, memory and, before a start, the port; say what will be downloaded."""
    update = not installed and environment.installed_count() > 0
    needed = DISK_WHEN_INSTALLED_GB if installed or update else INSTALLED_GB[group] + WORKING_GB
    disk = checks.disk_check(folder=ROOT, needed_gb=needed)
    said = [f"Python {environment.python_version()}", disk, checks.memory_check()]
    if with_port:
        said.append(checks.choose_port(checks.wanted_port())[1])
    say(" · ".join(said))
    if update:
        say("The pinned packages, or what is needed of them, changed: .venv is brought up to date.")
    elif not installed:
        say(f"To download: about {DOWNLOAD_MB[group]} MB of packages; to install: {INSTALLED_GB[group]} GB in .venv.")
    if with_assets and (megabytes := missing_assets_mb()):
        say(f"To download: {megabytes} MB of demo assets; to keep under var/: {ASSETS_GB} GB with the restored model.")


def missing_assets_mb() -> int:
    folder = assets.var_dir() / "assets"
    return sum(asset.download_mb for asset in assets.ASSETS if not (folder / asset.file_name).exists())


def set_up(options: argparse.Namespace) -> None:
    group = "dev" if options.dev else "run"
    log = assets.var_dir() / "log" / "setup.log"
    installed = environment.is_installed(group=group)
    first_checks(group=group, installed=installed, with_assets=not options.no_assets, with_port=options.start)
    with one_at_a_time(assets.var_dir() / "run"):
        # Another set-up may have finished while this one waited.
        if not installed and not environment.is_installed(group=group):
            environment.install(group=group, log=log)
        if options.browser:
            ensure_chromium(log=log)
        if not options.no_assets:
            assets.prepare_assets(python=environment.venv_python(), log=log)


def run(arguments: list[str]) -> int:
    """Set up; returns the exit status. Expected failures are sentences, others keep their traceback."""
    started = time.monotonic()
    options = parse(arguments)
    dotenv.load()
    try:
        set_up(options)
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What was fetched is kept; the same command goes on from here.", file=sys.stderr, flush=True)
        return 130
    say(f"Set up in {clock_text(time.monotonic() - started)}.")
    return 0
