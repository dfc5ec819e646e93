"""Calling models through metering, with the real baseline client and a real HTTP server in place of a provider."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from apps.accounts.models import Team
from apps.billing import cache, selectors
from apps.billing.metering import (
    BudgetExceeded,
    CallPostponed,
    GenerateRequest,
    Message,
    MeteredCall,
    MeteredResult,
    Metering,
    ModelFacts,
    UnknownPrice,
)
from apps.billing.models import CachedResponse, LedgerEntry, Price, Reservation
from apps.core import artifacts, audit
from apps.core.db import in_database
from apps.core.models import AuditEvent
from apps.core.tests.factories import BudgetFactory, LanguageModelFactory, PriceFactory
from apps.providers.engine.baselines import fit_most_frequent
from apps.providers.engine.clients.base import Client
from apps.providers.engine.clients.openai_compatible import OpenAICompatibleClient
from apps.providers.models import LanguageModel

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.both_databases,
    pytest.mark.usefixtures("empty_cache_memory"),
]

Answerer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
def model(team: Team, priced: Price) -> LanguageModel:
    return LanguageModelFactory.create(team=team)


@pytest.fixture
def priced(team: Team) -> Price:
    return PriceFactory.create()


def baseline(team: Team) -> LanguageModel:
    name = artifacts.put_bytes("baselines/most.json", json.dumps(fit_most_frequent([("a", '{"city":"X"}')])).encode())
    return LanguageModelFactory.create(team=team, kind="baseline", artifact=name)


def call_of(model: LanguageModel, text: str = "1 Main St", **more: Any) -> MeteredCall:
    request = GenerateRequest(model=model.served_name, messages=(Message("user", text),), max_tokens=8)
    values = {"team_id": model.team_id, "experiment_id": None, "language_model": ModelFacts.of(model)}
    return MeteredCall(**{**values, "request": request, "purpose": "test", **more})


async def generate(call: MeteredCall, **options: Any) -> MeteredResult:
    async with Metering(**options) as metering:
        return await metering.generate(call)


def completes(text: str = "hello", compute_seconds: float = 0.25) -> Answerer:
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 3,
        "total_tokens": 8,
        "llmopt": {"compute_seconds": compute_seconds},
    }
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "small",
        "choices": [choice],
        "usage": usage,
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(body)

    return answer


def refuses(status: int, code: str = "") -> Answerer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no", "code": code}}, status=status)

    return answer


async def hangs(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def hangs_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return web.Response()


@asynccontextmanager
async def provider(*answers: Answerer) -> AsyncIterator[str]:
    """A chat completions server whose n-th request gets the n-th answer, and every later one the last."""
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        answer = answers[min(len(seen), len(answers) - 1)]
        seen.append(request)
        return await answer(request)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def through(
    call: MeteredCall, *answers: Answerer, seconds: float = 5.0, deadline_seconds: float = 10.0
) -> MeteredResult:
    async with provider(*answers) as url:
        clients: dict[str, Client] = {
            call.language_model.served_name: OpenAICompatibleClient(url, total_seconds=seconds)
        }
        return await generate(call, clients=clients, call_timeout_seconds=seconds, deadline_seconds=deadline_seconds)


def states() -> list[str]:
    return list(Reservation.objects.order_by("id").values_list("state", flat=True))


class Stored:
    """Keeps results where a transaction can lose them: as audit events."""

    def __init__(self, team: Team) -> None:
        self.team = team

    def __call__(self, result: MeteredResult) -> None:
        audit.record(actor=None, verb="test.stored", target=self.team, text=result.text, error=result.error)

    @property
    def rows(self) -> list[dict[str, str]]:
        return list(AuditEvent.objects.filter(verb="test.stored").order_by("id").values_list("facts", flat=True))


def test_a_baseline_answers_and_its_time_is_booked(team: Team, priced: Price) -> None:
    result = asyncio.run(generate(call_of(baseline(team))))
    entry = LedgerEntry.objects.get()
    assert result.text == '{"city":"X"}'
    assert result.cost_nanousd == entry.amount_nanousd > 0
    assert entry.reservation_id == result.reservation_id
    assert states() == ["settled"]
    assert selectors.ledger_balance_problems() == []


def test_a_local_call_costs_its_share_of_the_batch(model: LanguageModel) -> None:
    result = asyncio.run(through(call_of(model), completes(compute_seconds=0.25)))
    assert result.cost_nanousd == 25_000  # 0.25 s at 360,000,000 nano-dollars an hour
    assert (result.prompt_tokens, result.completion_tokens) == (5, 3)


def test_the_result_is_stored_with_the_settlement(team: Team, model: LanguageModel) -> None:
    stored = Stored(team)
    asyncio.run(through(call_of(model, store=stored), completes("yes")))
    assert stored.rows == [{"text": "yes", "error": ""}]


def test_when_storing_fails_the_error_is_raised_and_the_money_is_booked(team: Team, model: LanguageModel) -> None:
    def store(result: MeteredResult) -> None:
        Stored(team)(result)
        raise ValueError("the output exists already")

    with pytest.raises(ValueError, match="exists already"):
        asyncio.run(through(call_of(model, store=store), completes()))
    assert Stored(team).rows == []
    assert CachedResponse.objects.count() == 0
    assert LedgerEntry.objects.get().amount_nanousd == 25_000
    assert states() == ["settled"]


def test_a_model_without_a_price_is_not_called(team: Team) -> None:
    with pytest.raises(UnknownPrice, match="no price"):
        asyncio.run(through(call_of(LanguageModelFactory.create(team=team)), completes()))
    assert Reservation.objects.count() == 0


def test_a_call_without_room_in_the_budget_is_refused_with_the_figures(team: Team, model: LanguageModel) -> None:
    budget = BudgetFactory.create(team=team, limit_nanousd=1000)
    with pytest.raises(BudgetExceeded) as caught:
        asyncio.run(through(call_of(model, store=Stored(team)), completes()))
    refused = caught.value.refused
    assert (refused.budget_id, refused.spent_nanousd, refused.held_nanousd) == (budget.pk, 0, 0)
    assert refused.needed_nanousd > refused.limit_nanousd == 1000
    assert "$0.0000010" in caught.value.message
    assert Stored(team).rows == []
    assert Reservation.objects.count() == 0


def test_a_second_equal_call_is_answered_from_the_cache_at_no_cost(team: Team, model: LanguageModel) -> None:
    stored = Stored(team)
    first = asyncio.run(through(call_of(model), completes("once")))
    for forget in (lambda: None, cache.forget_memory):
        forget()
        hit = asyncio.run(through(call_of(model, store=stored), refuses(500)))
        assert (hit.text, hit.cached, hit.cost_nanousd, hit.reservation_id) == ("once", True, 0, None)
        assert hit.original_latency_ms == first.latency_ms
        assert hit.original_cost_nanousd == first.cost_nanousd
    assert len(stored.rows) == 2
    assert states() == ["settled"]


def test_when_storing_an_answer_from_the_cache_fails_nothing_of_it_is_kept(team: Team, model: LanguageModel) -> None:
    asyncio.run(through(call_of(model), completes()))
    stored, fails = Stored(team), True

    def store(result: MeteredResult) -> None:
        stored(result)
        if fails:
            raise ValueError("the scores cannot be written")

    with pytest.raises(ValueError, match="scores"):
        asyncio.run(through(call_of(model, store=store), refuses(500)))
    assert stored.rows == []
    fails = False
    asyncio.run(through(call_of(model, store=store), refuses(500)))
    assert len(stored.rows) == 1


def test_a_long_answer_is_kept_in_the_table_and_not_in_memory(model: LanguageModel) -> None:
    long = "x" * (cache.MEMORY_TEXT + 1)
    asyncio.run(through(call_of(model), completes(long)))
    assert cache._memory == {}
    assert asyncio.run(through(call_of(model), refuses(500))).text == long


@pytest.mark.parametrize("change", ["repeat", "text", "revision", "use_cache"])
def test_a_call_that_differs_is_not_answered_from_the_cache(model: LanguageModel, change: str) -> None:
    asyncio.run(through(call_of(model), completes("first")))
    if change == "revision":
        model.revision = "r2"
    changed = {
        "repeat": call_of(model, repeat=1),
        "text": call_of(model, "2 Main St"),
        "revision": call_of(model),
        "use_cache": call_of(model, use_cache=False),
    }[change]
    assert asyncio.run(through(changed, completes("second"))).text == "second"


def test_another_team_does_not_get_the_cached_answer(model: LanguageModel, other_team: Team) -> None:
    asyncio.run(through(call_of(model), completes("ours")))
    theirs = LanguageModelFactory.create(team=other_team, served_name=model.served_name)
    assert asyncio.run(through(call_of(theirs), completes("theirs"))).text == "theirs"


def test_each_attempt_has_its_own_reservation(team: Team, model: LanguageModel) -> None:
    stored = Stored(team)
    result = asyncio.run(through(call_of(model, store=stored), refuses(503), hangs_up, completes("third time")))
    assert (result.text, result.attempts, result.error) == ("third time", 3, "")
    assert states() == ["settled", "unknown", "settled"]
    assert list(Reservation.objects.order_by("id").values_list("attempt", flat=True)) == [1, 2, 3]
    amounts = list(LedgerEntry.objects.order_by("id").values_list("amount_nanousd", flat=True))
    assert amounts == [0, Reservation.objects.get(attempt=2).held_nanousd, 25_000]
    assert len(stored.rows) == 1
    assert selectors.held_total() == 0


def test_a_request_that_never_left_is_released(team: Team, model: LanguageModel, unused_tcp_port: int) -> None:
    stored = Stored(team)
    client = OpenAICompatibleClient(f"http://127.0.0.1:{unused_tcp_port}/v1")
    call = call_of(model, store=stored)
    result = asyncio.run(generate(call, clients={model.served_name: client}, deadline_seconds=0.0))
    assert (result.error, result.attempts, result.cost_nanousd) == ("infrastructure", 1, 0)
    assert states() == ["released"]
    assert LedgerEntry.objects.count() == 0
    assert stored.rows == [{"text": "", "error": "infrastructure"}]


def test_a_call_that_is_never_answered_is_booked_at_its_bound(team: Team, model: LanguageModel) -> None:
    stored = Stored(team)
    result = asyncio.run(through(call_of(model, store=stored), hangs, seconds=0.2, deadline_seconds=0.0))
    reservation = Reservation.objects.get()
    assert result.error == "infrastructure"
    assert reservation.state == "unknown"
    assert result.cost_nanousd == reservation.held_nanousd == LedgerEntry.objects.get().amount_nanousd
    assert stored.rows == [{"text": "", "error": "infrastructure"}]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "context_length_exceeded", "context_too_long"),
        (400, "content_filter", "content_filter"),
        (400, "", "bad_request"),
        (404, "model_not_found", "infrastructure"),
        (401, "", "infrastructure"),
    ],
)
def test_a_refusal_costs_nothing_and_says_whose_failure_it_is(
    team: Team, model: LanguageModel, status: int, code: str, error: str
) -> None:
    stored = Stored(team)
    result = asyncio.run(through(call_of(model, store=stored), refuses(status, code)))
    assert (result.error, result.attempts, result.cost_nanousd) == (error, 1, 0)
    assert states() == ["settled"]
    assert LedgerEntry.objects.get().amount_nanousd == 0
    assert stored.rows == [{"text": "", "error": error}]
    assert CachedResponse.objects.count() == 0


def test_a_cancelled_call_is_closed_before_the_cancellation_goes_on(model: LanguageModel) -> None:
    async def cancel() -> None:
        calling = asyncio.ensure_future(through(call_of(model), hangs))
        while not await in_database(Reservation.objects.filter(sent_at__isnull=False).exists):
            await asyncio.sleep(0.01)
        calling.cancel()
        await calling

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
    assert states() == ["unknown"]
    assert selectors.held_total() == 0


def test_a_loop_that_ends_leaves_nothing_held(model: LanguageModel) -> None:
    async def leave() -> None:
        calling = asyncio.ensure_future(through(call_of(model), hangs))
        while not await in_database(Reservation.objects.filter(sent_at__isnull=False).exists):
            await asyncio.sleep(0.01)
        assert not calling.done()

    asyncio.run(leave())
    assert states() == ["unknown"]


def test_a_call_that_costs_more_than_was_held_is_booked_whole_and_raises_an_alert(model: LanguageModel) -> None:
    result = asyncio.run(through(call_of(model), completes(compute_seconds=3600.0)))
    assert result.cost_nanousd == LedgerEntry.objects.get().amount_nanousd == 360_000_000
    alert = AuditEvent.objects.get(verb="reservation.overrun")
    assert alert.facts["amount_nanousd"] == 360_000_000


def test_no_further_attempt_begins_once_the_work_should_stop(team: Team, model: LanguageModel) -> None:
    async def call() -> None:
        async with provider(refuses(503), completes()) as url:
            client: Client = OpenAICompatibleClient(url)
            await generate(
                call_of(model, store=Stored(team)), clients={model.served_name: client}, should_stop=lambda: True
            )

    with pytest.raises(CallPostponed):
        asyncio.run(call())
    assert Stored(team).rows == []
    assert states() == ["settled"]
    assert LedgerEntry.objects.get().amount_nanousd == 0


def test_many_calls_at_once_are_all_booked(team: Team, model: LanguageModel) -> None:
    async def many() -> list[MeteredResult]:
        async with provider(completes()) as url:
            client: Client = OpenAICompatibleClient(url)
            async with Metering(clients={model.served_name: client}) as metering:
                calls = [call_of(model, f"{number} Main St", store=Stored(team)) for number in range(40)]
                return await asyncio.gather(*(metering.generate(call) for call in calls))

    BudgetFactory.create(team=team)
    results = asyncio.run(many())
    assert len({result.reservation_id for result in results}) == 40
    assert selectors.spent_and_held(team).spent_nanousd == 40 * 25_000
    assert len(Stored(team).rows) == 40
    assert selectors.ledger_balance_problems() == []
