"""Which models are in memory: at most a few, the least recently used one leaves first, all leave when idle."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from apps.providers.engine.inference import memory
from apps.providers.engine.inference.backends.base import Backend
from apps.providers.engine.inference.catalogue import ModelFolder


@dataclass(slots=True)
class _Resident:
    model: ModelFolder
    backend: Backend


class Residency:
    """The loaded models. All methods run in the one thread that also runs the batches."""

    def __init__(self, open_backend: Callable[[ModelFolder], Backend], *, limit: int) -> None:
        self._open = open_backend
        self._limit = limit
        self._residents: OrderedDict[str, _Resident] = OrderedDict()

    def backend(self, model: ModelFolder) -> Backend:
        """The loaded model, loading it first when it is new or its weights were replaced."""
        resident = self._residents.get(model.id)
        if resident is not None and resident.model != model:
            self._unload(model.id)
            resident = None
        if resident is None:
            while len(self._residents) >= self._limit:
                self._unload(next(iter(self._residents)))
            resident = self._residents[model.id] = _Resident(model, self._open(model))
        self._residents.move_to_end(model.id)
        return resident.backend

    def loaded(self) -> list[str]:
        """Ids of the loaded models, the least recently used first."""
        return list(self._residents)

    def unload_all(self) -> None:
        """Give back the memory of every model."""
        for model_id in list(self._residents):
            self._unload(model_id)

    def _unload(self, model_id: str) -> None:
        self._residents.pop(model_id).backend.close()
        memory.release()


def open_backend(model: ModelFolder, *, threads: int) -> Backend:
    """Open a model with the library that its folder asks for."""
    if model.backend == "ctranslate2":
        from apps.providers.engine.inference.backends.ctranslate2 import CTranslate2Backend

        return CTranslate2Backend(model.folder, threads=threads)
    from apps.providers.engine.inference.backends.transformers import TransformersBackend

    return TransformersBackend(model.folder, threads=threads)
