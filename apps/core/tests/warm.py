"""What tests use of `subprocess`, for programs of ours that need torch: its processes start with that loaded.

A fresh interpreter takes five seconds of a core to load torch, transformers and peft, and a hundred tests start one.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

DEVNULL = subprocess.DEVNULL
# Processes of this context start with the libraries loaded and without the threads of the test process.
SPAWNER = multiprocessing.get_context("forkserver")
SPAWNER.set_forkserver_preload(["torch", "transformers", "peft", "safetensors.torch", "apps.training.engine.run"])


class Popen:
    """A process that runs `python -m module …` as the product starts it. Its output goes to the file `stdout`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: str | Path,
        env: Mapping[str, str],
        stdout: IO[bytes],
        stdin: int = DEVNULL,
        stderr: object = None,
    ) -> None:
        python, flag, module, *arguments = command
        assert (python, flag, stdin) == (sys.executable, "-m", DEVNULL)
        assert stderr in (None, stdout)
        written = os.path.abspath(stdout.name)
        self._process = SPAWNER.Process(target=_run, args=(module, arguments, str(cwd), dict(env), written))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return self._process.exitcode

    def kill(self) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, signal.SIGKILL)


def _run(module: str, arguments: list[str], folder: str, environment: dict[str, str], written: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    output = os.open(written, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in (1, 2):
        os.dup2(output, number)
    # Its parent is the process that all of these are forked from.
    if "--parent-death" in arguments[:-1]:
        arguments[arguments.index("--parent-death") + 1] = str(os.getppid())
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
