"""The settings file .env, as far as the set-up needs it: the server reads the same file when it starts."""

import os
from pathlib import Path

from .dependencies import ROOT


def read(path: Path) -> dict[str, str]:
    """NAME=value lines; comments, blank lines and a leading `export` are allowed, quotes around a value are dropped."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            found[name.strip()] = value.strip().strip("'\"")
    return found


def load(root: Path = ROOT) -> None:
    """Take over what the environment does not set itself."""
    path = root / ".env"
    if path.exists():
        for name, value in read(path).items():
            os.environ.setdefault(name, value)
