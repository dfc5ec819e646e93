"""A prompt version applied to one input: messages as a model receives them."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError

from apps.core.engine.messages import gettext_noop
from apps.experiments.engine.templates import (
    MAX_RENDERED_CHARACTERS,
    MAX_TEMPLATE_CHARACTERS,
    PromptError,
    TemplateProblem,
    check_template,
    read_template,
    variable_name,
    variables_for,
    variables_in,
)
from apps.providers.engine.messages import Message, MessageError

__all__ = [
    "MAX_RENDERED_CHARACTERS",
    "MAX_TEMPLATE_CHARACTERS",
    "Demonstration",
    "PromptError",
    "PromptSpec",
    "TemplateProblem",
    "check_template",
    "known_variables",
    "render_messages",
    "spec_from_json",
    "variables_of",
]


@dataclass(frozen=True)
class Demonstration:
    """A solved training example shown before the question, with the kept columns that the prompt reads."""

    id: str
    input: str
    expected: str
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class PromptSpec:
    """Messages as templates over `input` and kept columns.

    Demonstrations go before the last user message, in its own words.
    """

    messages: tuple[Message, ...]
    demonstrations: tuple[Demonstration, ...] = ()

    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        return {
            "messages": [{"role": message.role, "content": message.content} for message in self.messages],
            "demonstrations": [_demonstration_as_json(shown) for shown in self.demonstrations],
        }


def _demonstration_as_json(shown: Demonstration) -> dict[str, Any]:
    written: dict[str, Any] = {"id": shown.id, "input": shown.input, "expected": shown.expected}
    # Left out where there are none: a prompt keeps the hash that it had before there were columns.
    return {**written, "columns": dict(shown.columns)} if shown.columns else written


def spec_from_json(messages: Sequence[dict[str, str]], demonstrations: Sequence[dict[str, Any]] = ()) -> PromptSpec:
    """Read what `PromptSpec.as_json` wrote. PromptError unless the last message is the user's."""
    try:
        turns = tuple(Message(role=item["role"], content=item["content"]) for item in messages)  # type: ignore[arg-type]
    except MessageError as error:
        raise PromptError(error.sentence) from error
    if not turns or turns[-1].role != "user":
        raise PromptError(gettext_noop("The last message of a prompt must be the user's: it carries the input."))
    return PromptSpec(messages=turns, demonstrations=tuple(Demonstration(**item) for item in demonstrations))


def known_variables(columns: Collection[str] = ()) -> list[str]:
    """What a prompt may name for rows that keep `columns`: the input first."""
    return ["input", *dict.fromkeys(name for name in map(variable_name, columns) if name != "input")]


def variables_of(spec: PromptSpec) -> set[str]:
    """Every variable that a message of the prompt reads. PromptError when one cannot be read."""
    return {name for message in spec.messages for name in variables_in(message.content)}


def render_messages(spec: PromptSpec, text: str, columns: Mapping[str, str] | None = None) -> tuple[Message, ...]:
    """The conversation for one input and its kept columns: leading messages, demonstrations as turns, the question."""
    *leading, question = spec.messages
    values = variables_for(text, columns or {})
    rendered = [Message(role=message.role, content=_render(message.content, values)) for message in leading]
    for shown in spec.demonstrations:
        shown_values = variables_for(shown.input, shown.columns)
        rendered.append(Message(role="user", content=_render(question.content, shown_values)))
        rendered.append(Message(role="assistant", content=shown.expected))
    rendered.append(Message(role="user", content=_render(question.content, values)))
    return tuple(rendered)


def _render(template: str, values: Mapping[str, str]) -> str:
    try:
        return read_template(template).render(values)
    except PromptError:
        raise
    except TypeError as error:
        raise PromptError(
            gettext_noop(
                "The prompt cannot be rendered: a number stands where a text is needed, or the other way round."
            )
        ) from error
    except (TemplateError, ValueError, AttributeError) as error:
        raise PromptError(gettext_noop("The prompt cannot be rendered: %(error)s"), error=error) from error
