"""Start LLMOpt on the port that the set-up chose. `make run` calls it with the environment's Python."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.setup_lib.assets import var_dir  # noqa: E402 - the repository root must be on the path first
from scripts.setup_lib.checks import choose_port, wanted_port  # noqa: E402 - as above
from scripts.setup_lib.console import say  # noqa: E402 - as above
from scripts.setup_lib.errors import SetupError  # noqa: E402 - as above


def chosen_port() -> int:
    """The port that the set-up wrote down, or the next free one if it was taken since."""
    written = var_dir() / "run" / "port"
    try:
        before = int(written.read_text())
    except (OSError, ValueError):
        before = wanted_port()
    port, said = choose_port(before)
    if port != before:
        say(said)
        written.write_text(f"{port}\n")
    return port


def main() -> None:
    try:
        port = chosen_port()
    except SetupError as error:
        sys.exit(str(error))
    environment = {**os.environ, "LLMOPT_PORT": str(port)}
    command = [sys.executable, str(ROOT / "manage.py"), "up", *sys.argv[1:]]
    os.chdir(ROOT)
    # Replaces this process, so that Ctrl-C and the exit status are those of the command itself.
    os.execve(sys.executable, command, environment)


if __name__ == "__main__":
    main()
