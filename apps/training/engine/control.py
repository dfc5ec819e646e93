"""How the host asks a run to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


class StopFlag:
    """Whether the run should stop: the control file holds ``pause`` or ``cancel``, or a signal asked to pause."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._paused = False

    def pause(self) -> None:
        self._paused = True

    def __call__(self) -> Literal["pause", "cancel"] | None:
        try:
            word = self._path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            word = ""
        if word == "cancel":
            return "cancel"
        return "pause" if word == "pause" or self._paused else None
