"""supervisord in the foreground, tied to the process that started it: `python -m apps.core.processes.daemon CONF`."""

import os
import signal
import sys

from apps.core.processes.parent import PARENT_VARIABLE, die_with_parent, expected_parent


def main(configuration: str) -> None:
    from supervisor.supervisord import main as supervisord

    # The terminal going away is an ordinary stop: supervisord then ends its programs in order, and kills what lingers.
    # If supervisord itself is killed, the kernel kills each program (apps.core.processes.tied).
    die_with_parent(expected_parent(), with_signal=signal.SIGTERM)
    os.environ[PARENT_VARIABLE] = str(os.getpid())
    supervisord(["--nodaemon", "--silent", "--configuration", configuration])


if __name__ == "__main__":
    main(sys.argv[1])
