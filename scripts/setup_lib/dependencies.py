"""What is to be installed: read from pyproject.toml and constraints.txt, and a hash that says when it changed."""

import hashlib
import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GROUPS = {"run": ("train",), "dev": ("train", "dev")}


def normalised(name: str) -> str:
    """A package name as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    """The name in a requirement: `psycopg[binary,pool]>=3` → `psycopg`."""
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement.strip())
    if match is None:
        raise ValueError(f"not a requirement: {requirement!r}")
    return normalised(match.group())


def direct_requirements(*, group: str, root: Path = ROOT) -> list[str]:
    """The requirements of a group (`run` or `dev`) as pyproject.toml states them."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = list(project["dependencies"])
    for extra in GROUPS[group]:
        found += project["optional-dependencies"][extra]
    return found


def pins(path: Path) -> dict[str, str]:
    """Name → version of every `name==version` line of a constraints or requirements file."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line)
        if match:
            found[normalised(match.group(1))] = match.group(2)
    return found


def dependency_hash(*, group: str, root: Path = ROOT) -> str:
    """SHA-256 over what decides the installed set: the requirements of the group and the pins.

    Other parts of pyproject.toml (the tools' settings) are left out on purpose: changing them installs nothing.
    """
    text = json.dumps(
        [sorted(direct_requirements(group=group, root=root)), sorted(pins(root / "constraints.txt").items())]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def pinned(name: str, *, root: Path = ROOT) -> str:
    """`name==version` from constraints.txt."""
    return f"{name}=={pins(root / 'constraints.txt')[normalised(name)]}"
