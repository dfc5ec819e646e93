"""Prices by REST: set and listed with their history, for a model's tokens and for an hour of local computing."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.accounts.services.keys import api_key_create
from apps.billing import services
from apps.billing.models import Price
from apps.billing.selectors import price_of
from apps.core.tests.factories import CommercialModelFactory, LanguageModelFactory
from apps.providers.models import LanguageModel

pytestmark = pytest.mark.django_db
TOKENS = {
    "input": {"nanousd_per_million": 2 * 10**9, "above": [{"prompt_tokens": 1000, "nanousd_per_million": 3 * 10**9}]},
    "cache_write": {"nanousd_per_million": 25 * 10**8},
    "output": {"nanousd_per_million": 8 * 10**9},
    "reasoning": {"nanousd_per_million": 9 * 10**9},
    "request_nanousd": 5_000_000,
    "source": "Contract",
}
HOUR = {"nanousd_per_hour": 62_500_000, "source": "Rent of the machine"}


@pytest.fixture
def gpt(team: Team) -> LanguageModel:
    made: LanguageModel = CommercialModelFactory.create(team=team, served_name="gpt-4.1-mini")
    return made


@pytest.fixture
def owner(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def of(model: LanguageModel) -> str:
    return reverse("api_model_prices", args=[model.uid])


def send(client: Client, address: str, body: dict[str, Any], **headers: str) -> tuple[int, Any]:
    answer = client.post(address, body, content_type="application/json", headers=headers)
    return answer.status_code, answer.json()


def test_a_price_of_tokens_is_set_with_its_steps_and_listed_with_the_one_before(
    owner: Client, gpt: LanguageModel
) -> None:
    published = price_of(gpt).token_rates
    assert published is not None
    first = services.token_price_create(actor=None, team=gpt.team, model=gpt, rates=published, source="As published")
    status, made = send(owner, of(gpt), TOKENS)

    assert (status, made["state"], made["assumed"]) == (201, "now", False)
    assert made["input"] == TOKENS["input"]
    assert (made["cached_input"], made["cache_write"]) == (None, {"nanousd_per_million": 25 * 10**8, "above": []})
    assert (made["reasoning"]["nanousd_per_million"], made["request_nanousd"]) == (9 * 10**9, 5_000_000)
    assert str(price_of(gpt).uid) == made["uid"]
    later = {**TOKENS, "first_day": f"{timezone.now().year + 1}-01-01", "source": "Next year's"}
    assert send(owner, of(gpt), later)[1]["state"] == "later"
    found = owner.get(of(gpt)).json()["results"]
    assert [(row["source"], row["state"]) for row in found] == [
        ("Next year's", "later"),
        ("Contract", "now"),
        ("As published", "before"),
    ]
    assert found[2]["uid"] == str(first.uid)
    page = owner.get(of(gpt), {"limit": 1}).json()
    assert [row["source"] for row in owner.get(page["next"]).json()["results"]] == ["Contract"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"input": None}, "input"),
        ({"output": {"nanousd_per_million": -1}}, "output"),
        ({"output": {"nanousd_per_million": 100_001 * 10**9}}, "output"),
        ({"source": " "}, "source"),
        ({"input": {"nanousd_per_million": 1, "above": [{"prompt_tokens": 9, "nanousd_per_million": 1}] * 2}}, "input"),
        ({"first_day": "2020-01-01"}, "first_day"),
    ],
)
def test_what_cannot_be_a_price_is_refused_by_its_name(
    owner: Client, gpt: LanguageModel, change: dict[str, Any], field: str
) -> None:
    status, problem = send(owner, of(gpt), {**TOKENS, **change})

    assert status == 400
    assert field in problem.get("errors", {}) or problem.get("field") == field
    assert not Price.objects.exists()


def test_an_hour_of_local_computing_is_set_once_for_one_key_and_what_was_assumed_stays_listed(
    owner: Client, team: Team
) -> None:
    here = reverse("api_local_prices")
    assert owner.get(here).json()["results"] == []
    assumed = services.prices_ensure_local(actor=None, team=team)
    made = [send(owner, here, HOUR, **{"Idempotency-Key": "one"}) for _again in range(2)]

    assert made[0] == made[1]
    assert (made[0][0], made[0][1]["nanousd_per_hour"], made[0][1]["assumed"]) == (201, 62_500_000, False)
    found = owner.get(here).json()["results"]
    assert [(row["uid"], row["state"], row["assumed"]) for row in found] == [
        (made[0][1]["uid"], "now", False),
        (str(assumed.uid), "before", True),
    ]
    assert price_of(LanguageModelFactory.create(team=team)).nanousd_per_hour == 62_500_000
    assert send(owner, here, {**HOUR, "nanousd_per_hour": -1})[0] == 400


def test_what_runs_here_has_no_price_of_tokens(owner: Client, team: Team) -> None:
    local = LanguageModelFactory.create(team=team)
    for status, problem in (send(owner, of(local), TOKENS), _got(owner, of(local))):
        assert (status, "its seconds of computing have one" in problem["title"]) == (404, True)


def test_others_read_prices_and_neither_they_nor_an_api_key_set_one(
    client: Client, team: Team, alice: User, bob: User, gpt: LanguageModel
) -> None:
    key = api_key_create(actor=alice, team=team, name="Nightly", scopes=["read", "write"]).text
    bearer = {"Authorization": f"Bearer {key}"}
    for address, body in ((of(gpt), TOKENS), (reverse("api_local_prices"), HOUR)):
        assert client.get(address, headers=bearer).status_code == 200
        assert send(client, address, body, **bearer)[0] == 403
    client.force_login(bob)
    for address, body in ((of(gpt), TOKENS), (reverse("api_local_prices"), HOUR)):
        assert client.get(address).status_code == 200
        assert send(client, address, body)[0] == 403
    assert not Price.objects.exists()


def _got(client: Client, address: str) -> tuple[int, Any]:
    answer = client.get(address)
    return answer.status_code, answer.json()
