"""The one type of a chat message, shared by rendering, clients, training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from apps.core.engine.messages import EngineError, gettext_noop

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")


class MessageError(EngineError, ValueError):
    """A message that no conversation can hold."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation: who speaks, and the text as it was written."""

    role: Role
    content: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise MessageError(
                gettext_noop("A message's role is one of %(roles)s, not %(role)s."),
                roles=", ".join(ROLES),
                role=repr(self.role),
            )
