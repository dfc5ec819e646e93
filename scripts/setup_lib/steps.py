"""The order of the set-up, and what is said about it."""

import argparse
import fcntl
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from . import assets, checks, dotenv, environment
from .chromium import ensure_chromium
from .console import clock_text, say
from .dependencies import ROOT
from .errors import SetupError, cannot_write_text

# Measured on Linux x86_64 with the CPU build of torch: the wheels of a group, and what .venv takes afterwards.
DOWNLOAD_MB = {"run": 419, "dev": 566}
INSTALLED_GB = {"run": 1.9, "dev": 2.6}
# Downloads in progress, the model in three forms, the database and the training runs of a first quickstart.
WORKING_GB = 3.0
# The fetched files and the model restored from them.
ASSETS_GB = 1.2
UPDATE_GB = 1.0
DISK_WHEN_INSTALLED_GB = 1.0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/setup.py", description="Set LLMOpt up on this machine.")
    parser.add_argument("--dev", action="store_true", help="also install what the checks and the tests need")
    parser.add_argument("--browser", action="store_true", help="also make sure that there is a Chromium")
    parser.add_argument("--start", action="store_true", help="a start follows: look for a free port too")
    parser.add_argument(
        "--assets", choices=list(assets.KINDS), default="all", help="what of the demo to fetch: the tests need no model"
    )
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


def first_checks(*, group: str, installed: bool, wanted: tuple[assets.Asset, ...], with_start: bool) -> None:
    """Look at place, disk, memory and, before a start, database and port; say what will be downloaded."""
    var_dir = assets.var_dir()
    checks.path_check(ROOT, var_dir)
    if with_start:
        checks.database_check()
    update = not installed and environment.is_stamped()
    disk = checks.disk_check(disk_needed(group=group, installed=installed, update=update, var_dir=var_dir))
    said = [f"Python {environment.python_version()}", disk, checks.memory_check()]
    if with_start:
        said.append(checks.choose_port(checks.wanted_port())[1])
    say(" · ".join(said))
    if not installed:
        say(packages_text(group=group, update=update))
    if megabytes := missing_assets_mb(wanted):
        kept = f"; to keep under var/: {ASSETS_GB} GB with the restored model" if assets.MODEL in wanted else ""
        say(f"To download: {megabytes} MB of demo assets{kept}.")


def disk_needed(*, group: str, installed: bool, update: bool, var_dir: Path) -> dict[Path, float]:
    """Folder → GB. The packages go into the clone, everything else into the folder for data."""
    if installed:
        return {var_dir: DISK_WHEN_INSTALLED_GB}
    if update:
        return {ROOT: UPDATE_GB, var_dir: DISK_WHEN_INSTALLED_GB}
    return {ROOT: INSTALLED_GB[group], var_dir: WORKING_GB}


def packages_text(*, group: str, update: bool) -> str:
    """What will happen to the packages."""
    if update:
        return "The pinned packages, or what is needed of them, changed: .venv is brought up to date."
    # Left by an interrupted set-up, or installed by hand: pip fetches what is missing.
    extent = "at most" if environment.can_be_completed() else "about"
    return f"To download: {extent} {DOWNLOAD_MB[group]} MB of packages; to install: {INSTALLED_GB[group]} GB in .venv."


def missing_assets_mb(wanted: tuple[assets.Asset, ...]) -> int:
    folder = assets.var_dir() / "assets"
    return sum(asset.download_mb for asset in wanted if not (folder / asset.file_name).exists())


def set_up(options: argparse.Namespace) -> None:
    group = "dev" if options.dev else "run"
    log = assets.var_dir() / "log" / "setup.log"
    installed = environment.is_installed(group=group)
    wanted = assets.KINDS[options.assets]
    first_checks(group=group, installed=installed, wanted=wanted, with_start=options.start)
    with one_at_a_time(assets.var_dir() / "run"):
        # Before the packages: where it cannot be installed, that is said before they are fetched.
        if options.browser:
            ensure_chromium(log=log)
        # Another set-up may have finished while this one waited.
        if not installed and not environment.is_installed(group=group):
            environment.install(group=group, log=log)
        assets.prepare_assets(wanted, python=environment.venv_python(), log=log)


def interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run(arguments: list[str]) -> int:
    """Set up; returns the exit status. Expected failures are sentences, others keep their traceback."""
    started = time.monotonic()
    options = parse(arguments)
    dotenv.load()
    # A closed terminal or a kill ends what was started too, as Ctrl-C does: pip would go on beside the next set-up.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        set_up(options)
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr, flush=True)
        return 1
    except OSError as error:
        said = cannot_write_text(error)
        if not said:
            raise
        print(f"\n{said}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What was fetched is kept; the same command goes on from here.", file=sys.stderr, flush=True)
        return 130
    say(f"Set up in {clock_text(time.monotonic() - started)}.")
    return 0
