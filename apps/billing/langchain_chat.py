"""A chat model for LangChain whose every call is metered: any runnable then spends inside the budgets.

Import it where you use it: LangChain takes a second to load.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from apps.billing import loop_thread
from apps.billing.calls import MeteredCall, MeteredResult
from apps.billing.generating import Caller, CallFailed, answered, callable_model, metered_call
from apps.billing.metering import GenerateRequest, Metering, StreamEvent, TextDelta, Tool, ToolCallDelta, UseTool
from apps.core.db import in_database
from apps.providers.engine.messages import Message, ToolCall, ToolRequest, ToolResult, Turn

__all__ = ["CallFailed", "Caller", "MeteredChatModel"]


class MeteredChatModel(BaseChatModel):
    """`model` is the name that `GET /v1/models` lists. Budgets of the caller's team, person and key hold.

    A call raises BudgetExceeded, NoSuchModel and the rest of what metering raises, and CallFailed for what a provider
    did not answer. Retries are metering's: leave LangChain's own off. Give a `metering` to share its connections in an
    event loop of your own; else each process has one.
    """

    caller: Caller
    model: str
    max_tokens: int = 1024
    temperature: float | None = None
    seed: int | None = None
    use_cache: bool = True
    purpose: str = "langchain"
    metering: Any = None

    @property
    def _llm_type(self) -> str:
        return "llmopt"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "max_tokens": self.max_tokens, "temperature": self.temperature}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """The model with tools; `tool_choice` is auto, none, required ("any" is the same), or a tool's name."""
        formatted = [convert_to_openai_tool(tool)["function"] for tool in tools]
        return super().bind(tools=formatted, tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return _chat_result(loop_thread.generate(self._call(messages, stop, kwargs)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = await in_database(self._call, messages, stop, kwargs)
        if self.metering is not None:
            return _chat_result(await self.metering.generate(call))
        async with Metering() as metering:
            return _chat_result(await metering.generate(call))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for piece in loop_thread.stream(self._call(messages, stop, kwargs)):
            chunk = _chunk(piece)
            if run_manager is not None and chunk.text:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        call = await in_database(self._call, messages, stop, kwargs)
        async with _own_or(self.metering) as metering, aclosing(metering.stream(call)) as pieces:
            async for piece in pieces:
                chunk = _chunk(piece)
                if run_manager is not None and chunk.text:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _call(self, messages: list[BaseMessage], stop: list[str] | None, more: dict[str, Any]) -> MeteredCall:
        tools = tuple(
            Tool(tool["name"], tool.get("description", ""), tool.get("parameters"), tool.get("strict"))
            for tool in more.get("tools") or ()
        )
        request = GenerateRequest(
            model=self.model,
            messages=tuple(_turn(message) for message in messages),
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=self.seed,
            stop=tuple(stop or ()),
            tools=tools,
            tool_choice=_choice(more.get("tool_choice")) if tools else None,
        )
        model = callable_model(self.caller.team_id, self.model)
        return metered_call(self.caller, model, request, purpose=self.purpose, use_cache=self.use_cache)


class _own_or:  # noqa: N801 - reads as a function where it is used
    """The metering that was given, which stays open, or one for this call alone."""

    def __init__(self, given: Metering | None) -> None:
        self._given, self._own = given, None if given is not None else Metering()

    async def __aenter__(self) -> Metering:
        return self._given or await self._own.__aenter__()  # type: ignore[union-attr]

    async def __aexit__(self, *error: Any) -> None:
        if self._own is not None:
            await self._own.__aexit__(*error)


def _turn(message: BaseMessage) -> Turn:
    text = message.text
    if isinstance(message, AIMessage) and message.tool_calls:
        calls = (ToolCall(call["id"] or "", call["name"], json.dumps(call["args"])) for call in message.tool_calls)
        return ToolRequest(tuple(calls), text)
    if isinstance(message, ToolMessage):
        return ToolResult(message.tool_call_id, text)
    roles: dict[type[BaseMessage], Any] = {HumanMessage: "user", SystemMessage: "system", AIMessage: "assistant"}
    role: Any = message.role if isinstance(message, ChatMessage) else roles[type(message)]
    return Message(role, text)


def _choice(choice: Any) -> Any:
    if choice in (None, "auto", "none", "required"):
        return choice
    return "required" if choice in ("any", True) else UseTool(str(choice))


def _facts(result: MeteredResult) -> dict[str, Any]:
    return {
        "finish_reason": result.finish_reason,
        "model_name": result.model_reported,
        "generation": result.generation_uid,
        "cost_nanousd": result.cost_nanousd,
        "cached": result.cached,
    }


def _usage(result: MeteredResult) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=result.prompt_tokens,
        output_tokens=result.completion_tokens,
        total_tokens=result.prompt_tokens + result.completion_tokens,
    )


def _chat_result(result: MeteredResult) -> ChatResult:
    # Put together from a chunk: that is how LangChain itself reads the arguments of tools, the broken ones too.
    whole = AIMessageChunk(
        content=answered(result).text,
        tool_call_chunks=[
            tool_call_chunk(name=call.name, args=call.arguments, id=call.id, index=index)
            for index, call in enumerate(result.tool_calls)
        ],
    )
    message = AIMessage(
        content=whole.content,
        tool_calls=whole.tool_calls,
        invalid_tool_calls=whole.invalid_tool_calls,
        usage_metadata=_usage(result),
        response_metadata=_facts(result),
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def _chunk(piece: StreamEvent | MeteredResult) -> ChatGenerationChunk:
    if isinstance(piece, TextDelta):
        return ChatGenerationChunk(message=AIMessageChunk(content=piece.text))
    if isinstance(piece, ToolCallDelta):
        part = tool_call_chunk(name=piece.name or None, args=piece.arguments, id=piece.id or None, index=piece.index)
        return ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[part]))
    assert isinstance(piece, MeteredResult)
    end = AIMessageChunk(content="", usage_metadata=_usage(answered(piece)), response_metadata=_facts(piece))
    return ChatGenerationChunk(message=end)
