"""The page on which a team sets what it pays for a model's tokens: from when on, by whom, and what stays as it was."""

import dataclasses
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.billing import services
from apps.billing.engine.rates import Rate, TokenRates
from apps.billing.models import Price
from apps.billing.selectors import price_of
from apps.core.errors import ApplicationError
from apps.core.models import AuditEvent
from apps.core.tests.factories import CommercialModelFactory, LanguageModelFactory, ProviderKeyFactory
from apps.core.tests.pressing import Walker
from apps.providers.models import LanguageModel

pytestmark = pytest.mark.django_db
GIVEN = {"input": "2.5", "cached_input": "", "output": "10", "source": "Contract of May"}


@pytest.fixture
def model(team: Team) -> LanguageModel:
    """Of a server of one's own: nobody publishes its price."""
    key = ProviderKeyFactory.create(team=team, provider="compatible", base_url="https://models.example.com/v1")
    made: LanguageModel = CommercialModelFactory.create(
        team=team, served_name="ours/qwen3", provider="compatible", provider_key=key
    )
    return made


def page(client: Client, model: LanguageModel, data: dict[str, Any] | None = None) -> tuple[int, str]:
    """Status and text of the page; with `data`, of what follows when that is sent."""
    address = reverse("model_price", args=[model.team.slug, model.uid])
    answer = client.get(address) if data is None else client.post(address, data, follow=True)
    return answer.status_code, " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def test_a_price_is_set_from_now_on_and_the_earlier_one_stays(
    client: Client, model: LanguageModel, alice: User
) -> None:
    client.force_login(alice)
    assert "Nobody publishes a price for this model" in page(client, model)[1]

    assert "The price is set." in page(client, model, GIVEN)[1]
    first = price_of(model)
    _status, text = page(
        client, model, {**GIVEN, "input": "0.000000001", "cached_input": "0", "source": "Contract of June"}
    )

    second = price_of(model)
    assert first.rates == {"request_nanousd": 0, "input": [25 * 10**8, []], "output": [10**10, []]}
    assert (second.rates["input"], second.rates["cached_input"]) == ([1, []], [0, []])  # type: ignore[index]
    assert "Set by this team: Contract of June." in text
    assert text.index("Holds now") < text.index("Held before")
    assert Price.objects.get(pk=first.pk).rates == first.rates
    event = AuditEvent.objects.filter(verb="price.created").latest("id")
    assert (event.actor, event.facts["source"], event.facts["rates"]) == (alice, "Contract of June", second.rates)


@time_machine.travel(datetime(2026, 3, 1, 23, 30, tzinfo=UTC), tick=False)
def test_a_price_of_a_later_day_holds_from_that_days_midnight_in_the_teams_time_zone(
    model: LanguageModel, alice: User
) -> None:
    def set_price(dollars: int, first_day: date | None) -> Price:
        rates = TokenRates(Rate(dollars * 10**9), Rate(dollars * 10**9))
        return services.token_price_create(
            actor=alice, team=model.team, model=model, rates=rates, source="contract", first_day=first_day
        )

    # In Berlin it is half past midnight of the second of March.
    now, later = set_price(1, date(2026, 3, 2)), set_price(2, date(2026, 3, 3))
    assert price_of(model) == now
    with time_machine.travel(datetime(2026, 3, 2, 22, 59, tzinfo=UTC)):
        assert price_of(model) == now
    with time_machine.travel(datetime(2026, 3, 2, 23, 0, tzinfo=UTC)):
        assert price_of(model) == later
    for wrong in (date(2026, 3, 1), date(2040, 1, 1)):
        with pytest.raises(ApplicationError, match="Nothing past is priced anew"):
            set_price(3, wrong)


def test_what_cannot_be_a_price_is_refused_at_its_field_and_keeps_what_was_typed(
    client: Client, model: LanguageModel, alice: User
) -> None:
    client.force_login(alice)
    wrong = (
        ({"input": "-1"}, "greater than or equal to 0"),
        ({"output": ""}, "This field is required"),
        ({"source": " "}, "This field is required"),
        ({"output": "1.0000000001"}, "no more than 9 decimal places"),
        ({"output": "100001"}, "Was it meant for one token?"),
        ({"first_day": "2020-01-01"}, "Nothing past is priced anew"),
    )
    for change, says in wrong:
        status, text = page(client, model, {**GIVEN, **change})
        assert (status, says in text) == (422, True), (change, text)
    assert not Price.objects.exists()


STEPS = {
    **{"above_1": "200000", "input_1": "5", "cached_input_1": "", "cache_write_1": "", "output_1": "15"},
    **{"above_2": "1000000", "input_2": "4", "cached_input_2": "0.4", "cache_write_2": "", "output_2": "15"},
}


def test_a_price_that_changes_above_some_tokens_is_set_shown_and_there_to_be_changed(
    model: LanguageModel, alice: User
) -> None:
    walker = Walker(alice)
    walker.open(reverse("model_price", args=[model.team.slug, model.uid]))
    assert not walker.main.xpath(".//details[@open]")
    walker.press("Set price", **GIVEN, **STEPS)

    rates = price_of(model).token_rates
    assert rates == TokenRates(
        input=Rate(25 * 10**8, ((200_000, 5 * 10**9), (1_000_000, 4 * 10**9))),
        output=Rate(10**10, ((200_000, 15 * 10**9), (1_000_000, 15 * 10**9))),
        # Of a step that says nothing of it, it costs as all others that go in.
        cached_input=Rate(25 * 10**8, ((200_000, 5 * 10**9), (1_000_000, 4 * 10**8))),
    )
    assert "$5.00 above 200,000 tokens in, $4.00 above 1,000,000 tokens in" in walker.text
    (row,) = walker.main.xpath(".//tbody/tr")
    assert "5.00 above 200,000" in " ".join(row.text_content().split())

    assert walker.main.xpath(".//details[@open]")
    walker.press("Set price", source="The same", output_2="16")
    changed = price_of(model).token_rates
    assert changed is not None
    assert rates is not None
    assert (changed.input, changed.cached_input) == (rates.input, rates.cached_input)
    assert changed.output.tiers == ((200_000, 15 * 10**9), (1_000_000, 16 * 10**9))


def test_a_published_price_is_changed_with_its_steps_and_what_is_written_to_the_cache(team: Team, alice: User) -> None:
    gpt = CommercialModelFactory.create(team=team, served_name="gpt-6-luna")
    published = price_of(gpt).token_rates
    assert published is not None
    assert published.cache_write is not None
    assert published.input.tiers
    walker = Walker(alice)
    walker.open(reverse("model_price", args=[team.slug, gpt.uid]))
    walker.press("Set price", source="As published")

    assert price_of(gpt).source == "As published"
    assert price_of(gpt).token_rates == published
    assert "Above 272,000 tokens in, $0.20 and $0.75." in walker.text


def test_what_a_call_and_its_reasoning_cost_is_set_shown_and_kept_when_another_figure_is_changed(
    model: LanguageModel, alice: User
) -> None:
    walker = Walker(alice)
    walker.open(reverse("model_price", args=[model.team.slug, model.uid]))
    walker.press("Set price", **{**GIVEN, **STEPS, "reasoning": "12", "reasoning_2": "18", "request": "0.0125"})

    rates = price_of(model).token_rates
    assert rates is not None
    # Of a step that says nothing of it, it costs as all others that come out.
    assert rates.reasoning == Rate(12 * 10**9, ((200_000, 15 * 10**9), (1_000_000, 18 * 10**9)))
    assert rates.request_nanousd == 12_500_000
    assert "and $0.0125 a call" in walker.text
    walker.press("Set price", source="The same", output="11")
    changed = price_of(model).token_rates
    assert changed is not None
    assert changed == dataclasses.replace(rates, output=dataclasses.replace(rates.output, base=11 * 10**9))


def test_what_a_step_lacks_is_said_at_its_field_and_nothing_typed_is_lost(model: LanguageModel, alice: User) -> None:
    walker = Walker(alice)
    walker.open(reverse("model_price", args=[model.team.slug, model.uid]))
    wrong = (
        ("above_1", "", "Say above how many tokens these prices hold."),
        ("input_1", "", "Give what a million tokens in cost from there on."),
        ("output_2", "", "Give what a million tokens out cost from there on."),
        ("above_2", "200000", "above more tokens than the one before it: above 200,000"),
        ("above_1", "0", "greater than or equal to 1"),
        ("cached_input_2", "x", "Enter a number."),
    )
    for field, value, says in wrong:
        sent = {**GIVEN, **STEPS, field: value}
        walker.press("Set price", **sent)
        (error,) = walker.main.xpath(f".//*[@id='id_{field}-error']")
        assert (walker.status, says in error.text_content()) == (422, True), (field, error.text_content())
        assert walker.main.xpath(".//details[@open]")
        kept = {box.get("name"): box.get("value") or "" for box in walker.main.xpath(".//input[@type!='hidden']")}
        assert sent.items() <= kept.items()
    assert not Price.objects.exists()


def test_a_price_has_so_many_steps_at_most(model: LanguageModel, alice: User) -> None:
    many = Rate(1, tuple((start, 1) for start in range(1, services.MOST_STEPS + 2)))
    with pytest.raises(ApplicationError, match="at most 8 times"):
        services.token_price_create(
            actor=alice, team=model.team, model=model, rates=TokenRates(many, Rate(1)), source="contract"
        )


def test_a_published_price_stands_beside_the_teams_own_and_a_local_model_has_none(
    client: Client, team: Team, alice: User, bob: User
) -> None:
    gpt = CommercialModelFactory.create(team=team, served_name="gpt-4.1-mini")
    client.force_login(bob)
    status, text = page(client, gpt)
    assert "As the provider publishes it (genai-prices" in text
    assert "An owner or an admin of this team can set it." in text
    assert page(client, gpt, GIVEN)[0] == 403

    client.force_login(alice)
    text = page(client, gpt, GIVEN)[1]
    assert "The provider publishes $0.40 in and $1.60 out" in text
    assert price_of(gpt).rates["output"] == [int(Decimal(10) * 10**9), []]  # type: ignore[index]
    assert page(client, LanguageModelFactory.create(team=team))[0] == 404
