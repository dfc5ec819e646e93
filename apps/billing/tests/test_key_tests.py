"""A provider's key is tested by one metered question, and its page says what came of it."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.billing import services
from apps.billing.errors import BudgetExceeded
from apps.billing.key_tests import provider_key_test
from apps.billing.models import LedgerEntry
from apps.billing.tests.provider_world import commercial_model, provider_key
from apps.core.errors import Conflict, NotAllowed
from apps.providers.models import LanguageModel, ProviderKey
from apps.providers.tests.fake_anthropic import fake_anthropic
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import FakeProvider, Reply

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    with fake_openai() as running:
        yield running


@pytest.fixture
def key(team: Team, server: FakeProvider, settings: Any) -> ProviderKey:
    return provider_key(team, server, settings)


def test_a_key_that_works_says_so_and_the_question_is_in_the_books(key: ProviderKey, bob: User) -> None:
    result = provider_key_test(actor=bob, key=key)
    key.refresh_from_db()
    assert (key.state, key.check_error) == ("working", "")
    entry = LedgerEntry.objects.get()
    assert (entry.amount_nanousd, entry.person) == (result.cost_nanousd, bob)
    # Without a model of its own it was given the smallest that its provider offers.
    assert LanguageModel.objects.get().provider_key == key


def test_anthropics_key_is_tested_by_its_own_protocol(team: Team, bob: User, settings: Any) -> None:
    with fake_anthropic() as server:
        key = provider_key(team, server, settings, provider="anthropic")
        assert provider_key_test(actor=bob, key=key).error == ""


def test_the_cheapest_of_its_models_is_asked(key: ProviderKey, bob: User, server: FakeProvider) -> None:
    commercial_model(key, "gpt-5.5-pro")
    commercial_model(key, "gpt-4.1-mini")
    provider_key_test(actor=bob, key=key)
    assert [seen.body["model"] for seen in server.requests] == ["gpt-4.1-mini"]


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(status=401, error=("invalid_api_key", "no")), "key"),
        (Reply(status=404, error=("model_not_found", "no such model")), "no such model"),
        (Reply(status=429, error=("insufficient_quota", "You exceeded your current quota")), "quota"),
        (Reply(body=b"<html>"), "answer"),
    ],
)
def test_what_is_wrong_is_said_and_asked_once(
    key: ProviderKey, bob: User, server: FakeProvider, reply: Reply, says: str
) -> None:
    server.reply = reply
    result = provider_key_test(actor=bob, key=key)
    key.refresh_from_db()
    assert result.error
    assert (key.state, says in key.check_error) == ("failing", True), key.check_error
    assert len(server.requests) == 1


def test_a_budget_without_room_says_nothing_of_the_key(
    team: Team, alice: User, key: ProviderKey, server: FakeProvider
) -> None:
    services.budget_create(actor=alice, team=team, limit_nanousd=10)
    with pytest.raises(BudgetExceeded):
        provider_key_test(actor=alice, key=key)
    key.refresh_from_db()
    assert (key.state, server.requests) == ("untested", [])


def test_a_server_of_ones_own_needs_a_model_first_and_a_viewer_may_not_ask(
    team: Team, bob: User, vera: User, server: FakeProvider, settings: Any
) -> None:
    key = provider_key(team, server, settings, provider="compatible")
    with pytest.raises(Conflict, match="Add a model of this server"):
        provider_key_test(actor=bob, key=key)
    with pytest.raises(NotAllowed):
        provider_key_test(actor=vera, key=key)


def test_the_button_on_the_keys_page_says_what_came_of_it(
    client: Client, bob: User, vera: User, key: ProviderKey, server: FakeProvider
) -> None:
    page = reverse("provider_key", args=[key.team.slug, key.uid])
    press = reverse("provider_key_test", args=[key.team.slug, key.uid])
    client.force_login(bob)
    assert press in client.get(page).content.decode()
    assert "The key works. The test cost $0.0000" in client.post(press, follow=True).content.decode()
    server.reply = Reply(status=401, error=("invalid_api_key", "no"))
    assert "The last test failed" in client.post(press, follow=True).content.decode()
    client.force_login(vera)
    assert press not in client.get(page).content.decode()
