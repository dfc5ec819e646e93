"""The engine's expected failures."""

from __future__ import annotations

from apps.core.engine.messages import EngineError, Sentence


class TrainingError(EngineError):
    """Something the user can act on: ``text`` is a plain English sentence, ``row`` the id of the row at fault if any.

    ``row`` is also a value of the template. ``code`` is one of spec, rows, model, disk, memory, not_finite,
    certificate, bug.
    """

    def __init__(self, code: str, said: str | Sentence, /, row: str | None = None, **params: object) -> None:
        super().__init__(said, **(params if row is None else {"row": row, **params}))
        self.code = code
        self.text = str(self)
        self.row = row
