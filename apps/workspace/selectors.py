"""Reads that need more than one app."""

from typing import Any


def shell_facts(*, user: Any, team: Any) -> dict[str, Any]:
    return {}
