"""A prompt version applied to one input: messages as a model receives them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from apps.core.engine.messages import EngineError, Sentence, gettext_noop
from apps.providers.engine.messages import Message, MessageError

MAX_RENDERED_CHARACTERS = 200_000
MAX_TEMPLATE_CHARACTERS = 100_000
# Filters whose result is no longer than what they are given.
_FILTERS = ("trim", "upper", "lower", "title", "capitalize", "length", "wordcount", "default")
# What a prompt may be made of. Attributes and items lead from a template to Python; calls, loops and arithmetic can
# occupy a machine without end before there is any output to measure.
_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Filter,
    nodes.If,
    nodes.CondExpr,
    nodes.Concat,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
)
_CONSTRUCTS = {
    "Getattr": Sentence(gettext_noop("an attribute")),
    "Getitem": Sentence(gettext_noop("an item")),
    "Call": Sentence(gettext_noop("a call")),
    "For": Sentence(gettext_noop("a loop")),
}
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
_ENVIRONMENT.globals.clear()
_ENVIRONMENT.filters = {name: _ENVIRONMENT.filters[name] for name in _FILTERS}


class PromptError(EngineError, ValueError):
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
    try:
        turns = tuple(Message(role=item["role"], content=item["content"]) for item in messages)  # type: ignore[arg-type]
    except MessageError as error:
        raise PromptError(error.sentence) from error
    if not turns or turns[-1].role != "user":
        raise PromptError(gettext_noop("The last message of a prompt must be the user's: it carries the input."))
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
    parts = []
    try:
        compiled, joined = _compiled(template)
        _check_length(joined * len(text))
        length = 0
        for part in compiled.generate(input=text):
            length += len(part)
            _check_length(length)
            part.encode()  # half of a surrogate pair is no text, and nothing could send it
            parts.append(part)
    except PromptError:
        raise
    except (TemplateError, TypeError, ValueError, AttributeError) as error:
        raise PromptError(gettext_noop("The prompt cannot be rendered: %(error)s"), error=error) from error
    return "".join(parts)


def _check_length(length: int) -> None:
    if length > MAX_RENDERED_CHARACTERS:
        raise PromptError(
            gettext_noop("The rendered prompt has more than %(most)s characters."), most=f"{MAX_RENDERED_CHARACTERS:,}"
        )


@lru_cache(maxsize=256)
def _compiled(template: str) -> tuple[Template, int]:
    """The template, checked before any of it is evaluated. PromptError names the line and what is not allowed.

    The number says how many inputs one expression may hold: `~` builds its whole text before it can be measured.
    """
    if len(template) > MAX_TEMPLATE_CHARACTERS:
        raise PromptError(
            gettext_noop("The prompt has %(count)s characters; %(most)s are allowed."),
            count=f"{len(template):,}",
            most=f"{MAX_TEMPLATE_CHARACTERS:,}",
        )
    try:
        tree = _ENVIRONMENT.parse(template)
        for node in tree.find_all(nodes.Node):
            if not isinstance(node, _ALLOWED):
                raise PromptError(
                    gettext_noop("Line %(line)s of the prompt: %(construct)s is not allowed in a prompt."),
                    line=node.lineno,
                    construct=_name_of(node),
                )
            if isinstance(node, nodes.Name) and node.name == "self":  # the engine's own name for the template
                raise PromptError(gettext_noop("Line %(line)s of the prompt: 'self' is undefined."), line=node.lineno)
        joined = sum(1 for _ in tree.find_all(nodes.Name)) if tree.find(nodes.Concat) else 0
        return _ENVIRONMENT.from_string(template), joined
    except TemplateError as error:
        raise PromptError(gettext_noop("The prompt cannot be read: %(error)s"), error=error) from error
    except RecursionError as error:
        raise PromptError(gettext_noop("The prompt cannot be read: it is nested too deeply.")) from error


def _name_of(node: nodes.Node) -> Sentence:
    """What a construct is called in a sentence."""
    kind = type(node).__name__
    return _CONSTRUCTS.get(kind) or Sentence(gettext_noop("the construct %(kind)s"), kind=kind)
