"""Run a command that is killed when its parent dies: `python -m apps.core.processes.tied [--no-secrets] COMMAND …`.

Used for every supervised program, so that none of them has to know about it. It imports nothing heavy. supervisord
gives every program the whole of its environment, so that what a program has no use for is taken away here.
"""

import os
import sys

from apps.core.processes.environment import without_secrets
from apps.core.processes.parent import die_with_parent, expected_parent

NO_SECRETS = "--no-secrets"


def main(arguments: list[str]) -> None:
    secrets_stay = arguments[:1] != [NO_SECRETS]
    command = arguments if secrets_stay else arguments[1:]
    if not command:
        raise SystemExit(f"usage: python -m apps.core.processes.tied [{NO_SECRETS}] COMMAND ARGUMENT…")
    die_with_parent(expected_parent())
    environment = dict(os.environ) if secrets_stay else without_secrets()
    os.execvpe(command[0], command, environment)  # noqa: S606  # no shell is wanted: the command comes as a list


if __name__ == "__main__":
    main(sys.argv[1:])
