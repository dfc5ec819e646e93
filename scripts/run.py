"""Start LLMOpt on a free port. `make run` calls it with the environment's Python."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.setup_lib import dotenv  # noqa: E402 - the root must be on the path first
from scripts.setup_lib.checks import choose_port, wanted_port  # noqa: E402 - as above
from scripts.setup_lib.console import say  # noqa: E402 - as above
from scripts.setup_lib.errors import SetupError  # noqa: E402 - as above


def free_port() -> int:
    """The port from LLMOPT_PORT (8000), or the next free one; says so where it differs."""
    wanted = wanted_port()
    port, said = choose_port(wanted)
    if port != wanted:
        say(said)
    return port


def main() -> None:
    dotenv.load()
    try:
        port = free_port()
    except SetupError as error:
        sys.exit(str(error))
    environment = {**os.environ, "LLMOPT_PORT": str(port)}
    command = [sys.executable, str(ROOT / "manage.py"), "up", *sys.argv[1:]]
    os.chdir(ROOT)
    # Replaces this process, so that Ctrl-C and the exit status are those of the command itself.
    os.execve(sys.executable, command, environment)


if __name__ == "__main__":
    main()
