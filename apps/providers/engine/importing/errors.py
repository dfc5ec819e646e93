"""Why a model was not taken."""

from __future__ import annotations

from apps.core.engine.messages import EngineError


class ImportRefused(EngineError):
    """What was offered is no model that can be taken; the sentence says which file is at fault.

    `code`: `hostile` for what would harm, `hub_unreachable`, `hub_refused`, `broken_off`, `disk_full`, `not_a_model`,
    `too_large`, `no_base`.
    """

    def __init__(self, code: str, template: str, /, **params: object) -> None:
        super().__init__(template, **params)
        self.code = code
