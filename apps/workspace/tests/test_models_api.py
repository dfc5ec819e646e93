"""`GET models`: what a team can call, by which names, and what that costs."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.billing import pricing, services
from apps.billing.engine.published import data_version
from apps.billing.engine.rates import Rate, TokenRates
from apps.billing.errors import UnknownPrice
from apps.billing.models import Price
from apps.billing.prices_now import prices_now
from apps.billing.selectors import price_of
from apps.core.tests.factories import (
    CommercialModelFactory,
    LanguageModelFactory,
    ModelVersionFactory,
    PriceFactory,
    ProviderKeyFactory,
    TrainingRunFactory,
)
from apps.providers.models import LanguageModel
from apps.training.services.aliases import model_alias_set

pytestmark = pytest.mark.django_db
GPT = "gpt-4.1-mini"


def listed(client: Client) -> dict[str, Any]:
    return {row["served_name"]: row for row in client.get(reverse("api_models")).json()["results"]}


def server_model(team: Team, name: str = "ours/qwen3") -> LanguageModel:
    key = ProviderKeyFactory.create(team=team, provider="compatible", base_url="https://models.example.com/v1")
    return CommercialModelFactory.create(team=team, served_name=name, provider="compatible", provider_key=key)


def test_each_kind_of_price_says_what_it_is_for_who_says_so_and_since_when(
    client: Client, team: Team, alice: User
) -> None:
    CommercialModelFactory.create(team=team, served_name=GPT)
    LanguageModelFactory.create(team=team, served_name="small")
    own, _unpriced = server_model(team), server_model(team, "ours/other")
    rates = TokenRates(Rate(2 * 10**9, ((1000, 3 * 10**9),)), Rate(8 * 10**9))
    row = services.token_price_create(actor=alice, team=team, model=own, rates=rates, source="contract")
    client.force_login(alice)

    found = listed(client)

    published, local, ours = (found[name]["price"] for name in (GPT, "small", "ours/qwen3"))
    assert (published["unit"], published["input"]["nanousd_per_million"]) == ("token", 400_000_000)
    assert published["cached_input"]["nanousd_per_million"] == 100_000_000
    assert (published["uid"], published["data_version"], published["assumed"]) == (None, data_version(), False)
    assert (local["unit"], local["assumed"], local["input"]) == ("compute_hour", True, None)
    assert local["nanousd_per_hour"] > 0
    assert (ours["uid"], ours["data_version"], ours["source"]) == (str(row.uid), "", "contract")
    assert ours["input"]["above"] == [{"prompt_tokens": 1000, "nanousd_per_million": 3 * 10**9}]
    assert [found[name]["unavailable_code"] for name in (GPT, "ours/qwen3", "ours/other")] == ["", "", "unknown_price"]
    assert found["ours/other"]["price"] is None
    assert "has no price" in found["ours/other"]["unavailable"]


@pytest.mark.both_databases
def test_the_price_of_the_list_is_the_price_of_a_call(team: Team, other_team: Team, alice: User) -> None:
    gpt, local, other = (
        CommercialModelFactory.create(team=team, served_name=GPT),
        *(LanguageModelFactory.create(team=team) for _n in range(2)),
    )
    models = [gpt, local, other, server_model(team), server_model(team, "ours/free")]
    dear, cheap = (TokenRates(Rate(n), Rate(n)) for n in (9, 1))
    for model in models[3:]:
        services.token_price_create(actor=alice, team=team, model=model, rates=dear, source="old")
    services.token_price_create(actor=alice, team=team, model=models[3], rates=cheap, source="new")
    PriceFactory.create(team=None, nanousd_per_hour=5)
    PriceFactory.create(team=team, nanousd_per_hour=6)
    PriceFactory.create(team=other_team, nanousd_per_hour=7, served_name=other.served_name)
    PriceFactory.create(team=None, nanousd_per_hour=8, served_name=other.served_name)
    pricing.stored(price_of(gpt))

    found = prices_now(team, models)

    assert {model.pk: found[model.pk].pk for model in models[1:]} == {
        model.pk: price_of(model).pk for model in models[1:]
    }
    # A call looks the published price up, and is booked by the row that is stored of it.
    assert found[gpt.pk] == pricing.stored(price_of(gpt)) == Price.objects.get(data_version=data_version())
    with pytest.raises(UnknownPrice):
        price_of(server_model(team, "ours/none"))


def test_an_alias_is_a_name_and_a_retired_model_says_so(client: Client, team: Team, alice: User) -> None:
    run = TrainingRunFactory.create(team=team, dataset_version__dataset__name="Mail")
    version = ModelVersionFactory.create(run=run)
    model_alias_set(actor=alice, version=version, alias="production")
    CommercialModelFactory.create(team=team, served_name="gpt-4", retires_on="2026-10-01", replaced_by="gpt-6")
    client.force_login(alice)

    found = listed(client)
    assert found[version.language_model.served_name]["aliases"] == ["production"]
    assert (found["gpt-4"]["unavailable_code"], found["gpt-4"]["retires_on"]) == ("model_retired", "2026-10-01")

    other = ModelVersionFactory.create(
        run=TrainingRunFactory.create(team=team, dataset_version__dataset__name="Orders"), number=9
    )
    model_alias_set(actor=alice, version=other, alias="production")
    one = client.get(reverse("api_model", args=[other.language_model.uid])).json()
    assert one["aliases"] == ["Orders/production"]
    assert listed(client)[version.language_model.served_name]["aliases"] == ["Mail/production"]
