"""Answers that are handed on while they come, and what becomes of the money when a caller leaves."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.billing import selectors, services, streaming
from apps.billing.calls import MeteredCall, MeteredResult
from apps.billing.errors import BudgetExceeded
from apps.billing.metering import Metering, StreamEvent, TextDelta
from apps.billing.models import LedgerEntry, Reservation
from apps.billing.tests.provider_world import call_of, commercial_model, provider_key
from apps.providers.models import LanguageModel
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import FakeProvider, Reply

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.both_databases,
    pytest.mark.usefixtures("empty_cache_memory"),
]
TEXT = "Hello there, how are you?"


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    with fake_openai() as running:
        yield running


@pytest.fixture
def model(team: Team, server: FakeProvider, settings: Any) -> LanguageModel:
    return commercial_model(provider_key(team, server, settings))


async def pieces(call: MeteredCall, *, most: int | None = None, **options: Any) -> list[StreamEvent | MeteredResult]:
    """The first `most` pieces of a streamed call, after which the caller leaves."""
    found: list[StreamEvent | MeteredResult] = []
    metered = Metering(**{"call_timeout_seconds": 30.0, "deadline_seconds": 30.0, **options})
    async with metered as metering, aclosing(metering.stream(call)) as stream:
        async for piece in stream:
            found.append(piece)
            if len(found) == most:
                break
    return found


def text_of(found: list[StreamEvent | MeteredResult]) -> str:
    return "".join(piece.text for piece in found if isinstance(piece, TextDelta))


def end_of(found: list[StreamEvent | MeteredResult]) -> MeteredResult:
    assert isinstance(found[-1], MeteredResult)
    return found[-1]


def test_the_pieces_come_one_by_one_and_the_result_is_booked(model: LanguageModel) -> None:
    found = asyncio.run(pieces(call_of(model)))
    assert len(found) > 3
    assert text_of(found) == end_of(found).text == TEXT
    entry = LedgerEntry.objects.get()
    assert (entry.kind, entry.amount_nanousd) == ("settled", end_of(found).cost_nanousd)
    assert end_of(found).generation_uid == entry.uid.hex


def test_the_time_to_the_first_piece_is_measured(model: LanguageModel, server: FakeProvider) -> None:
    server.script(Reply(delay=0.05, between=0.01))
    end = end_of(asyncio.run(pieces(call_of(model))))
    assert end.first_piece_ms is not None
    assert end.latency_ms is not None
    assert 50 <= end.first_piece_ms < end.latency_ms


def test_an_equal_stream_comes_from_the_cache(model: LanguageModel, server: FakeProvider) -> None:
    asyncio.run(pieces(call_of(model)))
    again = asyncio.run(pieces(call_of(model)))
    assert end_of(again).first_piece_ms is None
    assert (text_of(again), end_of(again).cached, end_of(again).cost_nanousd) == (TEXT, True, 0)
    assert len(server.requests) == 1


def test_when_the_caller_leaves_the_rest_is_read_to_learn_what_it_cost(
    model: LanguageModel, server: FakeProvider
) -> None:
    server.script(Reply(between=0.01))
    found = asyncio.run(pieces(call_of(model), most=1))
    assert len(found) == 1
    entry = LedgerEntry.objects.get()
    assert entry.kind == "settled"
    assert entry.completion_tokens > 0
    assert "The caller left" in entry.evidence
    assert selectors.held_total() == 0


def test_an_answer_that_does_not_end_after_the_caller_left_is_booked_at_its_bound(
    model: LanguageModel, server: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "DRAIN_SECONDS", 0.2)
    server.script(Reply(after=6, then="hang"))
    asyncio.run(pieces(call_of(model), most=1))
    reservation = Reservation.objects.get()
    assert reservation.state == "unknown"
    assert LedgerEntry.objects.get().amount_nanousd == reservation.held_nanousd
    assert "The caller left" in LedgerEntry.objects.get().evidence
    assert selectors.ledger_balance_problems() == []


def test_a_caller_whose_task_is_cancelled_leaves_in_the_same_way(model: LanguageModel, server: FakeProvider) -> None:
    server.script(Reply(between=0.05))

    async def cancelled() -> None:
        async with Metering() as metering:
            seen = asyncio.Event()

            async def read() -> None:
                async with aclosing(metering.stream(call_of(model))) as stream:
                    async for _piece in stream:
                        seen.set()

            task = asyncio.create_task(read())
            await seen.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancelled())
    assert LedgerEntry.objects.get().kind == "settled"
    assert selectors.held_total() == 0


def test_a_stream_that_failed_before_its_first_piece_is_tried_again(model: LanguageModel, server: FakeProvider) -> None:
    server.script(Reply(status=500), Reply())
    found = asyncio.run(pieces(call_of(model)))
    assert text_of(found) == TEXT
    assert list(Reservation.objects.order_by("id").values_list("attempt", "state")) == [(1, "unknown"), (2, "settled")]


def test_a_stream_that_breaks_in_the_middle_ends_with_what_had_come_and_is_not_repeated(
    model: LanguageModel, server: FakeProvider
) -> None:
    server.script(Reply(after=6, then="reset"))
    found = asyncio.run(pieces(call_of(model)))
    assert text_of(found) == end_of(found).text == "Hello there,"
    assert end_of(found).error == "infrastructure"
    assert len(server.requests) == 1
    assert Reservation.objects.get().state == "unknown"


def test_a_budget_without_room_is_said_before_anything_is_sent(
    team: Team, alice: User, model: LanguageModel, server: FakeProvider
) -> None:
    services.budget_create(actor=alice, team=team, limit_nanousd=10)
    with pytest.raises(BudgetExceeded):
        asyncio.run(pieces(call_of(model)))
    assert server.requests == []


def test_a_slow_reader_holds_the_provider_up_and_not_the_memory(
    model: LanguageModel, server: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PIECES_AHEAD", 2)
    server.script(Reply(" ".join(f"word{n}" for n in range(200))))

    async def slowly() -> int:
        count = 0
        async with Metering() as metering, aclosing(metering.stream(call_of(model, max_tokens=300))) as stream:
            async for _piece in stream:
                count += 1
                await asyncio.sleep(0)
        return count

    assert asyncio.run(slowly()) == 201
