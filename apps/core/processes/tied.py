"""Run a command that is killed when its parent dies: `python -m apps.core.processes.tied COMMAND ARGUMENT…`.

Used for every supervised program, so that none of them has to know about it. It imports nothing heavy.
"""

import os
import sys

from apps.core.processes.parent import die_with_parent, expected_parent


def main(arguments: list[str]) -> None:
    if not arguments:
        raise SystemExit("usage: python -m apps.core.processes.tied COMMAND ARGUMENT…")
    die_with_parent(expected_parent())
    os.execvp(arguments[0], arguments)  # noqa: S606  # no shell is wanted: the command comes as a list


if __name__ == "__main__":
    main(sys.argv[1:])
