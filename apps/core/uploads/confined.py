"""Run a module of Python with limits that it cannot lift.

`python -m apps.core.uploads.confined LIMITS MODULE ARGUMENT…`, where LIMITS is `memory_bytes,cpu_seconds,file_bytes`.
They are set here, before the module is loaded, and hold for everything that it does. It dies with the process that
started it.
"""

import os
import resource
import sys

from apps.core.processes.parent import die_with_parent, expected_parent

OPEN_FILES = 128


def main(arguments: list[str]) -> None:
    if len(arguments) < 2:
        raise SystemExit("usage: python -m apps.core.uploads.confined LIMITS MODULE ARGUMENT…")
    memory, cpu, file = (int(part) for part in arguments[0].split(","))
    die_with_parent(expected_parent())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file, file))
    # The signal at the first says which limit was met; the second kills whatever ignores it.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    os.execv(sys.executable, [sys.executable, "-m", *arguments[1:]])  # noqa: S606  # no shell is wanted: our own module


if __name__ == "__main__":
    main(sys.argv[1:])
