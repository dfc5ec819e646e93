"""Calls that are paid by the token: what they cost, whose budgets hold them, and what a provider's key lets through."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.billing import pricing, selectors, services
from apps.billing.calls import MeteredCall, MeteredResult
from apps.billing.errors import BudgetExceeded, TextMayNotLeave, UnknownPrice
from apps.billing.metering import Metering
from apps.billing.models import Budget, BudgetPeriod, LedgerEntry, Price, ProviderState, Reservation
from apps.billing.tests.provider_world import CLAUDE, GPT, call_of, commercial_model, provider_key
from apps.core.errors import ApplicationError
from apps.providers.connections import KeyUnavailable
from apps.providers.models import LanguageModel, ProviderKey
from apps.providers.tests.fake_anthropic import fake_anthropic
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import FakeProvider, Reply

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.both_databases,
    pytest.mark.usefixtures("empty_cache_memory"),
]


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    with fake_openai() as running:
        yield running


@pytest.fixture
def key(team: Team, server: FakeProvider, settings: Any) -> ProviderKey:
    return provider_key(team, server, settings)


@pytest.fixture
def model(key: ProviderKey) -> LanguageModel:
    return commercial_model(key)


async def generate(*calls: MeteredCall, **options: Any) -> list[MeteredResult]:
    async with Metering(**{"call_timeout_seconds": 30.0, "deadline_seconds": 40.0, **options}) as metering:
        return await asyncio.gather(*(metering.generate(call) for call in calls))


def test_an_answer_costs_what_its_tokens_cost_and_the_entry_says_by_which_price(
    model: LanguageModel, server: FakeProvider, alice: User
) -> None:
    server.script(Reply("Hello there, how are you?", cached=2))

    (result,) = asyncio.run(generate(call_of(model, person_id=alice.pk)))

    entry = LedgerEntry.objects.get()
    fresh = entry.prompt_tokens - 2
    assert entry.amount_nanousd == result.cost_nanousd == fresh * 400 + 2 * 100 + entry.completion_tokens * 1600
    assert (entry.cached_prompt_tokens, entry.person, entry.language_model) == (2, alice, model)
    assert entry.price is not None
    assert entry.price.data_version == pricing.published_price("openai", GPT, timezone.now()).data_version  # type: ignore[union-attr]
    assert entry.amount_nanousd < Reservation.objects.get().held_nanousd
    assert result.generation_uid == entry.uid.hex


def test_anthropic_is_called_by_its_own_protocol_and_priced_by_its_own_list(team: Team, settings: Any) -> None:
    with fake_anthropic() as server:
        model = commercial_model(provider_key(team, server, settings, provider="anthropic"), CLAUDE)
        (result,) = asyncio.run(generate(call_of(model)))
    entry = LedgerEntry.objects.get()
    assert result.text == "Hello there, how are you?"
    assert entry.amount_nanousd == entry.prompt_tokens * 100 + entry.completion_tokens * 500


def test_the_published_price_is_stored_once_and_the_teams_own_comes_before_it(
    team: Team, alice: User, model: LanguageModel
) -> None:
    asyncio.run(generate(call_of(model, "one"), call_of(model, "two")))
    assert Price.objects.filter(team=None).count() == 1

    rates = pricing.TokenRates.from_json({"input": [1_000_000_000, []], "output": [2_000_000_000, []]})
    own = services.token_price_create(actor=alice, team=team, model=model, rates=rates, source="contract")
    (result,) = asyncio.run(generate(call_of(model, "three")))

    entry = LedgerEntry.objects.order_by("-id")[0]
    assert entry.price == own
    assert result.cost_nanousd == entry.prompt_tokens * 1000 + entry.completion_tokens * 2000
    first = LedgerEntry.objects.order_by("id")[0]
    assert first.price != own


def test_a_model_that_nobody_publishes_a_price_of_is_refused_until_the_team_sets_one(
    team: Team, alice: User, server: FakeProvider, settings: Any
) -> None:
    model = commercial_model(provider_key(team, server, settings, provider="compatible"), GPT)
    with pytest.raises(UnknownPrice, match="has no price"):
        asyncio.run(generate(call_of(model)))
    assert server.requests == []

    free = pricing.TokenRates.from_json({"input": [0, []], "output": [0, []]})
    services.token_price_create(actor=alice, team=team, model=model, rates=free, source="our own server")
    (result,) = asyncio.run(generate(call_of(model)))
    assert (result.error, result.cost_nanousd) == ("", 0)


def test_an_answer_without_a_count_of_its_tokens_is_booked_at_its_bound(
    model: LanguageModel, server: FakeProvider
) -> None:
    server.script(Reply(usage=False))
    (result,) = asyncio.run(generate(call_of(model)))
    reservation = Reservation.objects.get()
    assert (result.text, result.bounded) == ("Hello there, how are you?", True)
    assert (reservation.state, result.cost_nanousd) == ("unknown", reservation.held_nanousd)
    assert "without a usable count" in LedgerEntry.objects.get().evidence


# --- budgets


@pytest.mark.parametrize("of", ["team", "person"])
def test_the_hard_budget_of_each_kind_refuses_and_says_whose_it_is(
    team: Team, alice: User, model: LanguageModel, server: FakeProvider, of: str
) -> None:
    who = {"person": alice} if of == "person" else {}
    services.budget_create(actor=alice, team=team, limit_nanousd=1000, period="monthly", **who)

    with pytest.raises(BudgetExceeded, match=rf"The budget of the {of} .*\$0\.000001.* has no room"):
        asyncio.run(generate(call_of(model, person_id=alice.pk)))

    assert server.requests == []
    assert Reservation.objects.count() == 0


def test_a_persons_budget_does_not_hold_for_somebody_else(
    team: Team, alice: User, bob: User, model: LanguageModel
) -> None:
    services.budget_create(actor=alice, team=team, limit_nanousd=1000, person=alice)
    (result,) = asyncio.run(generate(call_of(model, person_id=bob.pk)))
    assert result.error == ""
    assert BudgetPeriod.objects.count() == 0


def test_a_soft_budget_counts_and_refuses_nothing(team: Team, alice: User, model: LanguageModel) -> None:
    services.budget_create(actor=alice, team=team, limit_nanousd=10, hard=False)
    (result,) = asyncio.run(generate(call_of(model)))
    period = BudgetPeriod.objects.get()
    assert period.spent_nanousd == result.cost_nanousd > period.limit_nanousd
    assert selectors.ledger_balance_problems() == []


def test_a_budget_of_several_things_or_of_a_stranger_is_refused(
    team: Team, alice: User, charlie: User, model: LanguageModel
) -> None:
    with pytest.raises(ApplicationError, match="not in the team"):
        services.budget_create(actor=alice, team=team, limit_nanousd=10, person=charlie)
    assert Budget.objects.count() == 0


# --- what a provider's key lets through


def test_no_more_calls_are_under_way_than_the_key_may_have(
    key: ProviderKey, model: LanguageModel, server: FakeProvider
) -> None:
    ProviderKey.objects.update(max_concurrency=2)
    server.reply = Reply(delay=0.02)
    results = asyncio.run(generate(*(call_of(model, f"number {n}") for n in range(8))))
    assert [result.error for result in results] == [""] * 8
    assert server.most_at_once <= 2


def test_another_process_that_holds_all_places_is_waited_for_and_then_said(
    key: ProviderKey, model: LanguageModel, server: FakeProvider
) -> None:
    ProviderKey.objects.update(max_concurrency=1)
    asyncio.run(generate(call_of(model, "first")))
    # As a call of another process that is still under way.
    Reservation.objects.update(state="held")
    (result,) = asyncio.run(generate(call_of(model, "second"), deadline_seconds=0.3))
    assert (result.error, result.error_code) == ("infrastructure", "rate_limited")
    assert "as many calls are under way" in result.error_text.lower()
    assert len(server.requests) == 1


def test_a_minute_lets_through_no_more_requests_than_the_key_may_make(model: LanguageModel) -> None:
    ProviderKey.objects.update(requests_per_minute=2)
    results = asyncio.run(generate(*(call_of(model, f"number {n}") for n in range(3)), deadline_seconds=0.3))
    assert sorted(result.error for result in results) == ["", "", "infrastructure"]
    Reservation.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    (late,) = asyncio.run(generate(call_of(model, "later")))
    assert late.error == ""


def test_a_provider_that_asks_for_patience_gets_it_from_every_process(
    model: LanguageModel, server: FakeProvider
) -> None:
    server.script(Reply(status=429, headers={"Retry-After": "30"}))
    (first,) = asyncio.run(generate(call_of(model), deadline_seconds=0.5))
    (second,) = asyncio.run(generate(call_of(model), deadline_seconds=0.5))
    assert (first.error_code, second.error_code) == ("rate_limited", "rate_limited")
    assert len(server.requests) == 1
    assert LedgerEntry.objects.get().amount_nanousd == 0
    # A clock that was set must not keep the provider away for ever.
    ProviderState.objects.update(not_before=timezone.now() + timedelta(days=300))
    (third,) = asyncio.run(generate(call_of(model)))
    assert third.error == ""


def test_a_provider_that_keeps_failing_is_left_alone_and_asked_again_with_one_call(
    model: LanguageModel, server: FakeProvider
) -> None:
    server.reply = Reply(status=500)
    calls = [call_of(model, f"number {n}") for n in range(6)]
    asyncio.run(generate(*calls, deadline_seconds=0.05))
    assert ProviderState.objects.get().failures >= 5
    before = len(server.requests)
    (left_alone,) = asyncio.run(generate(calls[0], deadline_seconds=0.05))
    assert "left alone" in left_alone.error_text
    assert len(server.requests) == before

    server.reply = Reply()
    ProviderState.objects.update(not_before=timezone.now() - timedelta(seconds=1))
    (again,) = asyncio.run(generate(calls[0]))
    assert again.error == ""
    state = ProviderState.objects.get()
    assert (state.failures, state.not_before) == (0, None)
    assert selectors.ledger_balance_problems() == []


def test_a_key_that_was_revoked_and_a_team_that_keeps_its_text_send_nothing(
    team: Team, key: ProviderKey, model: LanguageModel, server: FakeProvider
) -> None:
    Team.objects.filter(pk=team.pk).update(text_may_leave=False)
    with pytest.raises(TextMayNotLeave, match="lets no text leave .* OpenAI is not called"):
        asyncio.run(generate(call_of(model)))
    Team.objects.filter(pk=team.pk).update(text_may_leave=True)
    ProviderKey.objects.update(state="revoked", revoked_at=timezone.now())
    with pytest.raises(KeyUnavailable, match="was revoked"):
        asyncio.run(generate(call_of(model)))
    assert server.requests == []


# --- equal calls, and a model that stands in


def test_equal_calls_at_once_are_one_request_and_the_others_are_saved(
    model: LanguageModel, server: FakeProvider
) -> None:
    server.reply = Reply(delay=0.05)
    results = asyncio.run(generate(*(call_of(model) for _ in range(5))))
    assert len(server.requests) == 1
    assert sorted(result.cached for result in results) == [False, True, True, True, True]
    paid = LedgerEntry.objects.get(kind="settled")
    hits = list(LedgerEntry.objects.filter(kind="cached").values_list("amount_nanousd", "saved_nanousd", "person"))
    assert hits == [(0, paid.amount_nanousd, None)] * 4


def test_when_the_model_cannot_be_reached_another_stands_in_and_is_priced_as_itself(
    team: Team, settings: Any, model: LanguageModel, server: FakeProvider
) -> None:
    with fake_anthropic() as other:
        stand_in = commercial_model(provider_key(team, other, settings, provider="anthropic"), CLAUDE)
        server.reply = Reply(status=500)
        call = call_of(model, fallback=call_of(stand_in).language_model)
        (result,) = asyncio.run(generate(call, deadline_seconds=0.05))
    assert (result.text, result.stands_in) == ("Hello there, how are you?", True)
    assert result.language_model_id == stand_in.pk
    answered = LedgerEntry.objects.get(kind="settled")
    assert (answered.language_model, answered.amount_nanousd) == (stand_in, result.cost_nanousd)
    assert selectors.ledger_balance_problems() == []
