"""A chat completion request as JSON, read into what metering is asked. What cannot be done is refused by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from django.utils.translation import gettext as _

from apps.billing.metering import AnswerFormat, GenerateRequest, Tool, UseTool
from apps.core.errors import translated
from apps.core.nesting import MOST_LEVELS, is_too_deep
from apps.providers.engine.messages import Message, MessageError, ToolCall, ToolRequest, ToolResult, Turn
from llmopt.edge.gateway.errors import Refusal, invalid, unsupported

MOST_MESSAGES = 2_000
MOST_TOOLS = 128
MOST_STOPS = 16
# Of the names that a sentence repeats.
LONGEST_NAME = 80

# Parameters that say nothing about the answer, or at these values ask for what happens anyway.
_IGNORED = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key"})
_ONLY: dict[str, tuple[Any, ...]] = {
    "n": (1, None),
    "store": (False, None),
    "logprobs": (False, None),
    "service_tier": ("default", "auto", None),
    "modalities": (["text"], None),
    "frequency_penalty": (0, None),
    "presence_penalty": (0, None),
    "logit_bias": ({}, None),
    "top_logprobs": (0, None),
}
_READ = frozenset(
    {
        "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed", "stream",
        "stream_options", "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort",
    }
)  # fmt: skip
_CHOICES = ("auto", "none", "required")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller asks for. `request.model` is the caller's name of the model."""

    request: GenerateRequest
    stream: bool
    include_usage: bool


def read_request(body: bytes, *, default_max_tokens: int) -> Wanted:
    """Raises Refusal, which names the parameter."""
    content = _object(body)
    for name, value in content.items():
        if name in _IGNORED or name in _READ or value is None:
            continue
        if name not in _ONLY or not any(_is_same(value, allowed) for allowed in _ONLY[name]):
            raise unsupported(name[:LONGEST_NAME])
    stream = _flag(content, "stream")
    options = content.get("stream_options")
    if options is None:
        options = {}
    if not isinstance(options, dict):
        raise invalid(_("stream_options must be an object."), "stream_options")
    request = GenerateRequest(
        model=_text(content, "model"),
        messages=_messages(content),
        max_tokens=_max_tokens(content, default_max_tokens),
        temperature=_number(content, "temperature", 0, 2),
        top_p=_number(content, "top_p", 0, 1),
        stop=_stop(content),
        seed=_whole(content, "seed", -(2**63), 2**63 - 1),
        tools=_tools(content),
        tool_choice=_tool_choice(content),
        parallel_tool_calls=_flag(content, "parallel_tool_calls") if "parallel_tool_calls" in content else None,
        answer_format=_format(content),
        reasoning_effort=_effort(content),
    )
    return Wanted(request, stream, _flag(options, "include_usage", "stream_options"))


def _is_same(value: Any, allowed: Any) -> bool:
    """As JSON has it: 0 is not false."""
    return bool(value == allowed) and isinstance(value, bool) == isinstance(allowed, bool)


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, "invalid_json", _("The request is not JSON: %(why)s.") % {"why": error}) from None
    if not isinstance(content, dict):
        raise Refusal(400, "invalid_json", _("The request must be a JSON object."))
    return content


def _messages(content: Mapping[str, Any]) -> tuple[Turn, ...]:
    found = content.get("messages")
    if not isinstance(found, list) or not 0 < len(found) <= MOST_MESSAGES:
        raise invalid(_("messages must be a list of 1 to %(most)s messages.") % {"most": MOST_MESSAGES}, "messages")
    return tuple(_turn(message, f"messages[{number}]") for number, message in enumerate(found))


def _turn(message: Any, where: str) -> Turn:
    if not isinstance(message, dict):
        raise invalid(_("A message must be an object with a role and a content."), where)
    role = message.get("role")
    if not isinstance(role, str) or len(role) > LONGEST_NAME:
        raise invalid(_("The role of a message must be a text."), f"{where}.role")
    if role == "tool":
        return ToolResult(_text(message, "tool_call_id", where), _content(message, where))
    if role == "assistant" and message.get("tool_calls"):
        return ToolRequest(_tool_calls(message, where), _content(message, where) if message.get("content") else "")
    try:
        # "developer" is what newer models call it.
        spoken: Any = "system" if role == "developer" else role
        return Message(spoken, _content(message, where))
    except MessageError as error:
        raise invalid(translated(error), f"{where}.role") from None


def _content(message: Mapping[str, Any], where: str) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return _sound(content, f"{where}.content")
    if not isinstance(content, list):
        raise invalid(_("The content of a message must be text, or a list of parts of text."), f"{where}.content")
    parts = []
    for number, part in enumerate(content):
        place = f"{where}.content[{number}]"
        if not isinstance(part, dict) or part.get("type") != "text":
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise invalid(_("Only text is taken, not %(kind)s.") % {"kind": str(kind)[:40]}, place)
        parts.append(_text(part, "text", place, empty=True))
    return "".join(parts)


def _tool_calls(message: Mapping[str, Any], where: str) -> tuple[ToolCall, ...]:
    calls = message["tool_calls"]
    if not isinstance(calls, list) or len(calls) > MOST_TOOLS:
        raise invalid(_("tool_calls must be a list."), f"{where}.tool_calls")
    found = []
    for number, call in enumerate(calls):
        place = f"{where}.tool_calls[{number}]"
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            raise invalid(_("A tool call must have an id and a function."), place)
        arguments = _text(function, "arguments", place, empty=True)
        found.append(ToolCall(_text(call, "id", place), _text(function, "name", place), arguments))
    return tuple(found)


def _tools(content: Mapping[str, Any]) -> tuple[Tool, ...]:
    tools = content.get("tools")
    if tools is None:
        return ()
    if not isinstance(tools, list) or len(tools) > MOST_TOOLS:
        raise invalid(_("tools must be a list of at most %(most)s tools.") % {"most": MOST_TOOLS}, "tools")
    return tuple(_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools))


def _tool(tool: Any, where: str) -> Tool:
    # A provider's own tools (web search, code) have prices of their own, which nobody could bound.
    if not isinstance(tool, dict) or tool.get("type") != "function" or not isinstance(tool.get("function"), dict):
        raise invalid(_("Only tools of the type function are taken."), where)
    function = tool["function"]
    parameters = function.get("parameters")
    if parameters is not None:
        _check_schema(parameters, f"{where}.function.parameters")
    return Tool(
        name=_text(function, "name", f"{where}.function"),
        description=_text(function, "description", f"{where}.function", empty=True)
        if function.get("description")
        else "",
        parameters=parameters,
        strict=function.get("strict") if isinstance(function.get("strict"), bool) else None,
    )


def _check_schema(schema: Any, where: str) -> None:
    """It is passed on as it is: what nothing could write again is refused before anything is held for the call."""
    if not isinstance(schema, dict):
        raise invalid(_("%(name)s must be a JSON schema.") % {"name": where}, where)
    if is_too_deep(schema):
        said = {"name": where, "most": MOST_LEVELS}
        raise invalid(_("%(name)s is nested more than %(most)s levels deep.") % said, where)


def _tool_choice(content: Mapping[str, Any]) -> Any:
    choice = content.get("tool_choice")
    if choice is None or choice in _CHOICES:
        return choice
    function = choice.get("function") if isinstance(choice, dict) else None
    if not isinstance(function, dict):
        raise invalid(_("tool_choice must be auto, none, required, or name a function."), "tool_choice")
    return UseTool(_text(function, "name", "tool_choice.function"))


def _format(content: Mapping[str, Any]) -> AnswerFormat | None:
    wanted = content.get("response_format")
    if wanted is None:
        return None
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return AnswerFormat()
    schema = wanted.get("json_schema") if kind == "json_schema" else None
    if not isinstance(schema, dict):
        raise invalid(_("response_format must be text, json_object, or json_schema with a schema."), "response_format")
    _check_schema(schema.get("schema"), "response_format.json_schema.schema")
    strict = schema.get("strict")
    name = _text(schema, "name", "response_format.json_schema")
    return AnswerFormat(schema["schema"], name, strict if isinstance(strict, bool) else False)


def _max_tokens(content: Mapping[str, Any], default: int) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        value = _whole(content, name, 1, 1_000_000)
        if value is not None:
            return value
    return default


def _stop(content: Mapping[str, Any]) -> tuple[str, ...]:
    stop = content.get("stop")
    if stop is None:
        return ()
    stops = [stop] if isinstance(stop, str) else stop
    if (
        not isinstance(stops, list)
        or len(stops) > MOST_STOPS
        or not all(isinstance(each, str) and each for each in stops)
    ):
        raise invalid(_("stop must be a text, or a list of at most %(most)s texts.") % {"most": MOST_STOPS}, "stop")
    return tuple(_sound(each, "stop") for each in stops)


def _effort(content: Mapping[str, Any]) -> str:
    effort = content.get("reasoning_effort")
    if effort is None:
        return ""
    if effort not in _EFFORTS:
        raise invalid(
            _("reasoning_effort must be one of %(words)s.") % {"words": ", ".join(_EFFORTS)}, "reasoning_effort"
        )
    return str(effort)


def _text(content: Mapping[str, Any], name: str, where: str = "", *, empty: bool = False) -> str:
    value = content.get(name)
    place = f"{where}.{name}" if where else name
    if not isinstance(value, str) or not (value or empty):
        raise invalid(_("%(name)s must be a text.") % {"name": place}, place)
    return _sound(value, place)


def _sound(value: str, where: str) -> str:
    """A text that can be stored and sent: JSON may escape half a character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise invalid(_("%(name)s holds half of a surrogate pair.") % {"name": where}, where) from None
    return value


def _flag(content: Mapping[str, Any], name: str, where: str = "") -> bool:
    value = content.get(name)
    place = f"{where}.{name}" if where else name
    if value is not None and not isinstance(value, bool):
        raise invalid(_("%(name)s must be true or false.") % {"name": place}, place)
    return bool(value)


def _number(content: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    return _within(content, name, (int, float), float, low, high)


def _whole(content: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    return _within(content, name, int, int, low, high)


def _within(content: Mapping[str, Any], name: str, kinds: Any, make: Callable[[Any], Any], low: Any, high: Any) -> Any:
    value = content.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        said = {"name": name, "low": low, "high": high}
        raise invalid(_("%(name)s must be a number from %(low)s to %(high)s.") % said, name)
    return make(value)
