"""chosen.json: what the first start of a run settled. Another choice would give other weights, so it stands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apps.training.engine.checkpoint import write_json


def read_chosen(path: Path) -> dict[str, Any]:
    """What earlier starts settled; empty before the first."""
    if not path.is_file():
        return {}
    chosen: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return chosen


def keep_chosen(path: Path, **facts: Any) -> dict[str, Any]:
    """Settle what is not settled yet, and return all that is."""
    before = read_chosen(path)
    chosen = {**facts, **before}
    if chosen != before:
        write_json(path, chosen)
    return chosen


def library_versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("torch", "transformers", "peft", "tokenizers", "safetensors", "ctranslate2", "numpy")
    return {name: version(name) for name in names}


def usable_cores() -> int:
    return len(os.sched_getaffinity(0))


def changes(chosen: dict[str, Any], *, versions: dict[str, str], cores: int) -> Iterator[str]:
    """What is other than at the first start, as sentences: a resumed run may then end otherwise than a whole one."""
    before: dict[str, str] = chosen.get("versions", {})
    other = [f"{name} {was}, now {versions.get(name)}" for name, was in before.items() if was != versions.get(name)]
    if other:
        yield f"Libraries have changed since this run first started, and its weights may with them: {'; '.join(other)}."
    threads, had = chosen.get("threads", 0), chosen.get("cores", 0)
    if cores < min(threads, had):
        slower = f"This run keeps its {threads} threads and goes on slower."
        yield f"{slower} Usable cores: {had} at its first start, now {cores}."
