"""Which models a folder holds, and with what they can be run. The id of a model is the name of its folder."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from apps.providers.engine.inference.errors import ApiError

BackendName = Literal["ctranslate2", "transformers"]
MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "seq_length")
FALLBACK_CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """One model on disk. ``folder`` holds weights and tokenizer; ``version`` changes when they are replaced."""

    id: str
    backend: BackendName
    folder: Path
    context_length: int
    version: tuple[int, ...]
    created: int


class Catalogue:
    """The models below one folder, read afresh at each call so that a newly registered one is served at once."""

    def __init__(self, root: Path, *, max_context: int) -> None:
        self.root = root.resolve()
        self.max_context = max_context

    def find(self, model_id: str) -> ModelFolder:
        """The model of that id; raises a 404 ``ApiError`` for anything that is not one, path tricks included."""
        found = self._read(model_id) if MODEL_ID.fullmatch(model_id) else None
        if found is None:
            raise ApiError(404, "model_not_found", f"There is no model {model_id[:128]!r} here.", param="model")
        return found

    def all(self) -> list[ModelFolder]:
        """Every model, by id."""
        if not self.root.is_dir():
            return []
        names = sorted(path.name for path in self.root.iterdir() if MODEL_ID.fullmatch(path.name))
        return [found for name in names if (found := self._read(name)) is not None]

    def _read(self, model_id: str) -> ModelFolder | None:
        base = self.root / model_id
        if base.resolve() != base:  # a link could lead anywhere
            return None
        if (base / "ct2" / "model.bin").is_file():
            return self._folder(model_id, "ctranslate2", base / "ct2", base / "ct2" / "model.bin")
        for name in ("merged", "hf"):
            weights = sorted((base / name).glob("*.safetensors"))
            if weights and (base / name / "config.json").is_file():
                return self._folder(model_id, "transformers", base / name, weights[0])
        return None

    def _folder(self, model_id: str, backend: BackendName, folder: Path, weights: Path) -> ModelFolder:
        status = weights.stat()
        return ModelFolder(
            id=model_id,
            backend=backend,
            folder=folder,
            context_length=min(_context_length(folder), self.max_context),
            version=(status.st_ino, status.st_size, status.st_mtime_ns),
            created=int(status.st_mtime),
        )


def _context_length(folder: Path) -> int:
    """Positions of the model: from the configuration beside the weights, else from the tokenizer's limit."""
    base = folder.parent
    for config in (folder / "config.json", base / "merged" / "config.json", base / "hf" / "config.json"):
        content = _json(config)
        for key in CONTEXT_KEYS:
            if isinstance(content.get(key), int):
                return int(content[key])
    limit = _json(folder / "tokenizer_config.json").get("model_max_length")
    return int(limit) if isinstance(limit, int) and 0 < limit < 10_000_000 else FALLBACK_CONTEXT


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
