"""Dying with the parent. Without it, a killed cluster leaves its workers running beside those of the next one."""

import ctypes
import os
import signal

PARENT_VARIABLE = "LLMOPT_PARENT_PID"
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int | None = None, *, with_signal: int = signal.SIGKILL) -> None:
    """Have the kernel send `with_signal` to this process when its parent ends. It lasts through exec, not through fork.

    `parent_pid` is the parent that the caller expects: if that one is gone already, this process ends at once, because
    the kernel would never send the signal. The "parent" is a thread: it must have been started from one that lives on.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, with_signal, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_PDEATHSIG): {os.strerror(number)}")
    if parent_pid is not None and os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def expected_parent() -> int | None:
    """The pid that a parent of ours left in the environment for its children."""
    value = os.environ.get(PARENT_VARIABLE, "")
    return int(value) if value.isdigit() else None
