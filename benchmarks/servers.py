"""Starting a server for a measurement, and ending it."""

import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from apps.core.processes.tree import end_child
from benchmarks.machine import ROOT

PATIENCE_SECONDS = 120.0


@contextmanager
def served(command: Sequence[str], port: int) -> Iterator[int]:
    """Run `command` until the block ends; yields its process id when it answers `/healthz` on `port`."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + PATIENCE_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{' '.join(command)} did not answer")
            time.sleep(0.2)
        yield process.pid
    finally:
        end_child(process, seconds=20)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
