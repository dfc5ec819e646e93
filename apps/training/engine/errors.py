"""The engine's expected failures."""

from __future__ import annotations


class TrainingError(Exception):
    """Something the user can act on: ``text`` is a plain sentence, ``row`` the id of the row at fault if one is.

    ``code`` is one of spec, rows, model, disk, memory, not_finite, certificate.
    """

    def __init__(self, code: str, text: str, row: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.row = row
