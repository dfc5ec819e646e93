"""Asking the candidates of a run: each is one metered call, and what it brings is kept with what it cost."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from django.utils import translation

from apps.billing.calls import MeteredCall, MeteredResult
from apps.billing.generating import Caller, callable_model, metered_call
from apps.billing.metering import GenerateRequest, Metering, TextDelta
from apps.core.access import fetch_for_user
from apps.core.db import in_database
from apps.core.errors import ApplicationError, translated
from apps.core.models.base import new_uid
from apps.experiments.engine.prompts import PromptError, PromptSpec, render_messages, spec_from_json
from apps.experiments.models import PromptVersion
from apps.experiments.selectors import prompt_spec
from apps.providers.models import LanguageModel
from apps.providers.parameters import accepted_parameters
from apps.workspace.models import PlaygroundAnswer, PlaygroundRun
from apps.workspace.services.playground import playground_answer_keep, playground_turn_end, playground_turn_take

# Whoever waits in front of a page has left by then.
CALL_SECONDS = 60.0
DEADLINE_SECONDS = 75.0
# Longer than any call takes: it may wait for an equal one until the deadline, and then has its own, before which its
# last attempt begins, to end by its own timeout.
TURN_SECONDS = 2 * DEADLINE_SECONDS + CALL_SECONDS + 30.0
# How often one who waits for another's answer looks for it.
LOOK_SECONDS = 0.5

Rendered = Callable[[PlaygroundAnswer], str]


def metering() -> Metering:
    return Metering(call_timeout_seconds=CALL_SECONDS, deadline_seconds=DEADLINE_SECONDS)


async def answer_events(
    *, actor: Any, run: PlaygroundRun, number: int, language: str, render: Rendered
) -> AsyncIterator[bytes]:
    """Server-sent events of one candidate's answer: `{"text"}` for each piece, then the whole as {"html"} (`answer`).

    A reader who leaves closes this; the answer is read on for a while, and kept with what it cost. While another asks
    the same candidate, this waits for its answer.
    """
    translation.activate(language)
    async with _turn(actor, run, number) as mine, aclosing(_texts(actor, run, number)) as texts:
        if mine:
            async for text in texts:
                yield event({"text": text})
    yield event({"html": await in_database(partial(_shown, run, number, language, render))}, "answer")


@asynccontextmanager
async def _turn(actor: Any, run: PlaygroundRun, number: int) -> AsyncIterator[bool]:
    """Whether the candidate is to be asked here; False once it has its answer, maybe by another's call."""
    token = new_uid()
    take = partial(playground_turn_take, actor=actor, run=run, number=number, token=token, seconds=TURN_SECONDS)
    answered = run.answers.filter(number=number)
    try:
        while not (mine := await in_database(take)) and not await in_database(answered.exists):
            await asyncio.sleep(LOOK_SECONDS)
        yield mine
    finally:
        await in_database(partial(playground_turn_end, actor=actor, run=run, token=token))


async def _texts(actor: Any, run: PlaygroundRun, number: int) -> AsyncGenerator[str, None]:
    """The pieces of the answer, which is kept before this ends, or why there is none."""
    try:
        call = await in_database(partial(call_of, actor=actor, run=run, number=number))
        async with metering() as metered, aclosing(metered.stream(call)) as pieces:
            async for piece in pieces:
                if isinstance(piece, TextDelta):
                    yield piece.text
                elif isinstance(piece, MeteredResult):
                    await in_database(partial(_kept, actor, run, number, piece))
    except ApplicationError as error:
        await in_database(partial(_refused, actor, run, number, error))


def answer_all(*, actor: Any, run: PlaygroundRun) -> None:
    """Ask every candidate at once and wait for all, for a browser without JavaScript."""
    asyncio.run(_all(actor, run))


async def _all(actor: Any, run: PlaygroundRun) -> None:
    async with metering() as metered:
        numbers = range(1, len(run.setup["candidates"]) + 1)
        await asyncio.gather(*(_one(metered, actor, run, number) for number in numbers))


async def _one(metered: Metering, actor: Any, run: PlaygroundRun, number: int) -> None:
    async with _turn(actor, run, number) as mine:
        if not mine:
            return
        try:
            call = await in_database(partial(call_of, actor=actor, run=run, number=number))
            await in_database(partial(_kept, actor, run, number, await metered.generate(call)))
        except ApplicationError as error:
            await in_database(partial(_refused, actor, run, number, error))


def call_of(*, actor: Any, run: PlaygroundRun, number: int) -> MeteredCall:
    """The call that asks a candidate. Its result is kept in the transaction that books it.

    At temperature 0 a stored answer will do, as everywhere: it costs nothing, and its column says so.
    """
    candidate = run.setup["candidates"][number - 1]
    model: LanguageModel = fetch_for_user(LanguageModel, actor, "edit", team=run.team, uid=candidate["model"])
    parameters = accepted_parameters(
        model, {"max_tokens": candidate["max_tokens"], "temperature": candidate["temperature"]}
    )
    known = callable_model(run.team_id, model.served_name)
    wanted = GenerateRequest(
        model=known.name,
        messages=_messages(actor, run, candidate),
        max_tokens=parameters["max_tokens"],
        temperature=parameters["temperature"],
        reasoning_effort=parameters.get("reasoning_effort", ""),
    )
    call = metered_call(
        Caller(run.team_id, actor.pk), known, wanted, purpose="playground", use_cache=candidate["temperature"] == 0
    )

    def keep(result: MeteredResult) -> None:
        playground_answer_keep(actor=actor, run=run, number=number, result=result, model=model)

    return replace(call, store=keep)


def _messages(actor: Any, run: PlaygroundRun, candidate: dict[str, Any]) -> Any:
    shown: Any = ()
    if candidate["prompt"]:
        version = fetch_for_user(PromptVersion, actor, prompt__team=run.team, uid=candidate["prompt"])
        shown = prompt_spec(version).demonstrations
    try:
        spec = PromptSpec(spec_from_json(candidate["messages"]).messages, shown)
        return render_messages(spec, run.setup["input"], run.setup["columns"])
    except PromptError as error:
        raise ApplicationError(translated(error), field="messages") from error


def _kept(actor: Any, run: PlaygroundRun, number: int, result: MeteredResult) -> None:
    """What was booked is kept already; a failure before any attempt has nothing to be booked with."""
    playground_answer_keep(actor=actor, run=run, number=number, result=result, model=None)


def _refused(actor: Any, run: PlaygroundRun, number: int, error: ApplicationError) -> None:
    """What was not asked says why, in its own column."""
    result = MeteredResult(error=error.code, error_code=error.code, error_text=f"{error.code}: {error.message}")
    playground_answer_keep(actor=actor, run=run, number=number, result=result, model=None)


def _shown(run: PlaygroundRun, number: int, language: str, render: Rendered) -> str:
    with translation.override(language):
        return render(run.answers.get(number=number))


def event(content: Any, kind: str = "message") -> bytes:
    name = f"event: {kind}\n" if kind != "message" else ""
    return f"{name}data: {json.dumps(content)}\n\n".encode()
