"""What a conversation is made of: the message that rendering, clients, training and evaluation share, and tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

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


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool that a model asks for. ``arguments`` is the text it wrote: meant to be JSON, and not always."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A turn of the assistant that asks for tools, beside what it says."""

    tool_calls: tuple[ToolCall, ...]
    content: str = ""
    role: ClassVar[Literal["assistant"]] = "assistant"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave back for the call with this id."""

    tool_call_id: str
    content: str
    role: ClassVar[Literal["tool"]] = "tool"


#: A turn of a conversation that may use tools. Prompts, training and rendering know `Message` alone.
Turn = Message | ToolRequest | ToolResult
