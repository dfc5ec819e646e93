"""A prompt version applied to one input: messages as a model receives them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from apps.providers.engine.messages import Message

# Attribute access is what leads from a template to Python; a prompt needs names only.
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
_ENVIRONMENT.globals.clear()
MAX_RENDERED_CHARACTERS = 200_000


class PromptError(ValueError):
    """A template that cannot be read or rendered; the message says what is wrong with it."""


@dataclass(frozen=True)
class Demonstration:
    """A solved training example shown before the question."""

    id: str
    input: str
    expected: str


@dataclass(frozen=True)
class PromptSpec:
    """Messages as templates over `input`. Demonstrations go before the last user message, in its own words."""

    messages: tuple[Message, ...]
    demonstrations: tuple[Demonstration, ...] = ()

    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        return {
            "messages": [{"role": message.role, "content": message.content} for message in self.messages],
            "demonstrations": [
                {"id": shown.id, "input": shown.input, "expected": shown.expected} for shown in self.demonstrations
            ],
        }


def spec_from_json(messages: Sequence[dict[str, str]], demonstrations: Sequence[dict[str, str]] = ()) -> PromptSpec:
    """Read what `PromptSpec.as_json` wrote. PromptError unless the last message is the user's."""
    turns = tuple(Message(role=item["role"], content=item["content"]) for item in messages)  # type: ignore[arg-type]
    if not turns or turns[-1].role != "user":
        raise PromptError("The last message of a prompt must be the user's: it carries the input.")
    return PromptSpec(messages=turns, demonstrations=tuple(Demonstration(**item) for item in demonstrations))


def render_messages(spec: PromptSpec, text: str) -> tuple[Message, ...]:
    """The conversation for one input: leading messages, demonstrations as turns, the question."""
    *leading, question = spec.messages
    rendered = [Message(role=message.role, content=_render(message.content, text)) for message in leading]
    for shown in spec.demonstrations:
        rendered.append(Message(role="user", content=_render(question.content, shown.input)))
        rendered.append(Message(role="assistant", content=shown.expected))
    rendered.append(Message(role="user", content=_render(question.content, text)))
    return tuple(rendered)


def _render(template: str, text: str) -> str:
    try:
        result = _ENVIRONMENT.from_string(template).render(input=text)
    except TemplateError as error:
        raise PromptError(f"The prompt cannot be rendered: {error}") from error
    if len(result) > MAX_RENDERED_CHARACTERS:
        raise PromptError(f"The rendered prompt has {len(result)} characters; {MAX_RENDERED_CHARACTERS} are allowed.")
    return result
