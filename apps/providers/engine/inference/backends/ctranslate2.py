"""CTranslate2 in float32: the backend for every architecture that it converts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apps.providers.engine.inference.backends.base import Batch, OnToken

# CTranslate2 never forgets a cached prefix (some 30 MB for eight demonstrations), so the model is opened anew
# when it has collected this many.
MAX_CACHED_PREFIXES = 8


class CTranslate2Backend:
    """A converted model with its prefix cache."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        import ctranslate2

        self._tokens: list[str] = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        self._prefixes: set[tuple[int, ...]] = set()
        self._generator: Any = ctranslate2.Generator(
            str(folder), device="cpu", compute_type="float32", inter_threads=1, intra_threads=threads
        )

    def has_prefix(self, prefix: tuple[int, ...]) -> bool:
        return prefix in self._prefixes

    def generate(self, batch: Batch, on_token: OnToken) -> None:
        self._remember(batch.prefix)
        self._generator.generate_batch(
            [self._text(suffix) for suffix in batch.suffixes],
            static_prompt=self._text(batch.prefix) if batch.prefix else None,
            cache_static_prompt=True,
            include_prompt_in_result=False,
            max_length=batch.max_new_tokens,
            end_token=list(batch.stop_ids),
            beam_size=1,
            callback=lambda step: on_token(step.batch_id, step.token_id),
            **_sampling(batch),
        )

    def close(self) -> None:
        self._generator.unload_model()
        self._prefixes.clear()
        del self._generator

    def _remember(self, prefix: tuple[int, ...]) -> None:
        """Count the prefix among the cached ones; drop them all first when there are too many."""
        if not prefix or prefix in self._prefixes:
            return
        if len(self._prefixes) >= MAX_CACHED_PREFIXES:
            self._generator.unload_model()
            self._generator.load_model()
            self._prefixes.clear()
        self._prefixes.add(prefix)

    def _text(self, ids: tuple[int, ...]) -> list[str]:
        return [self._tokens[index] for index in ids]


def _sampling(batch: Batch) -> dict[str, float | int]:
    """Greedy at temperature 0; else from the whole vocabulary (its default of the one best token never samples)."""
    if batch.sampling.temperature == 0:
        return {"sampling_topk": 1}
    return {
        "sampling_topk": 0,
        "sampling_topp": batch.sampling.top_p,
        "sampling_temperature": batch.sampling.temperature,
    }
