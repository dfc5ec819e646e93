"""The committed definition of the quickstart, read and checked."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

COMMITTED = Path(__file__).with_name("definition.toml")
SECTIONS = ("dataset", "experiment", "model", "generation", "prompts", "training")


def read_definition(path: Path = COMMITTED, *, second_seed: bool = False) -> dict[str, Any]:
    """The definition as plain values. ValueError names a missing section. `second_seed` takes the second split seed."""
    definition = tomllib.loads(path.read_text(encoding="utf-8"))
    missing = [name for name in SECTIONS if name not in definition]
    if missing:
        raise ValueError(f"{path} lacks the sections {', '.join(missing)}")
    if second_seed:
        dataset = definition["dataset"]
        dataset["split_seed"] = dataset["second_split_seed"]
        dataset["name"] = f"{dataset['name']} (split seed {dataset['split_seed']})"
    return definition


def definition_hash(definition: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
