"""What a process of ours gets of the environment: settings before Django starts, and no secret that it cannot use."""

import os
import re
import sys

# What calls providers and opens the stored keys of teams: only web, workers and operators' commands do that.
PROVIDER_SECRETS = frozenset({"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "LLMOPT_ENCRYPTION_KEYS"})
# A secret by its name, whoever set it; and an address with a password in it.
_SECRET_NAME = re.compile(r"(?:^|_)(?:KEY|SECRET|TOKEN|PASS|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL)S?$", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"://[^/@\s]*:[^/@\s]+@")
_STORES = frozenset({"DATABASE_URL", "REDIS_URL"})


def restart_with(**variables: str) -> None:
    """Start this same command again with `variables` set; returns at once when they are already.

    The queue library reads its cluster's name, and our settings read the role, when they are imported: too late for a
    command that has begun. The process keeps its pid and its parent.
    """
    if all(os.environ.get(name) == value for name, value in variables.items()):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **variables})  # noqa: S606  # our own command line


def without_provider_secrets(**variables: str) -> dict[str, str]:
    """The environment for a process of ours that has a database and calls no provider, with `variables` set."""
    kept = {name: value for name, value in os.environ.items() if name not in PROVIDER_SECRETS}
    return {**kept, **variables}


def without_secrets(**variables: str) -> dict[str, str]:
    """The environment for an engine, which knows no database and signs nothing, with `variables` set.

    What is not known to be a secret stays: libraries of numbers and of graphics cards read many variables of their own.
    """
    kept = {name: value for name, value in os.environ.items() if not _is_secret(name, value)}
    return {**kept, **variables}


def _is_secret(name: str, value: str) -> bool:
    return name in _STORES or bool(_SECRET_NAME.search(name) or _PASSWORD_IN_URL.search(value))
