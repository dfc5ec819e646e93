"""Keys for providers: who may, what is kept of one, what takes it up, what a test of it leaves."""

from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.core.errors import ApplicationError, Conflict, NotAllowed
from apps.core.models import AuditEvent
from apps.core.tests.factories import PROVIDER_SECRET, CommercialModelFactory, ProviderKeyFactory, TeamFactory
from apps.providers.connections import Connection, KeyUnavailable, connection_of
from apps.providers.models import ProviderKey
from apps.providers.services import (
    provider_key_checked,
    provider_key_create,
    provider_key_from_environment,
    provider_key_limits_change,
    provider_key_replace,
    provider_key_revoke,
)

pytestmark = pytest.mark.django_db

NEW = "sk-another-9876543210-abcd"


def created(actor: User | None, team: Team, **more: Any) -> ProviderKey:
    return provider_key_create(actor=actor, team=team, **{"provider": "openai", "secret": PROVIDER_SECRET, **more})


def test_a_key_is_sealed_named_after_its_provider_and_shown_by_its_last_four(team: Team, alice: User) -> None:
    key = created(alice, team, secret=f"  {PROVIDER_SECRET}\n")
    second = created(alice, team, secret=NEW)

    assert (key.name, key.last_four, key.state, key.max_concurrency) == ("OpenAI", "wxyz", "untested", 16)
    assert second.name == "OpenAI 2"
    stored = ProviderKey.objects.filter(pk=key.pk).values_list("secret", flat=True).get().token
    assert PROVIDER_SECRET not in stored
    assert connection_of(key) == Connection("openai", "", PROVIDER_SECRET)
    assert PROVIDER_SECRET not in repr(connection_of(key))
    events = AuditEvent.objects.filter(verb="provider_key.created").order_by("id")
    assert [event.facts for event in events] == [
        {"name": "OpenAI", "provider": "openai"},
        {"name": "OpenAI 2", "provider": "openai"},
    ]


@pytest.mark.parametrize("who", ["bob", "vera", "charlie"])
def test_owners_and_admins_alone_keep_keys(team: Team, people: dict[str, User], who: str) -> None:
    key = ProviderKeyFactory.create(team=team)
    person = people[who]

    for refused in (
        lambda: created(person, team),
        lambda: provider_key_replace(actor=person, key=key, secret=NEW),
        lambda: provider_key_revoke(actor=person, key=key),
        lambda: provider_key_limits_change(actor=person, key=key, max_concurrency=1, requests_per_minute=None),
        lambda: provider_key_from_environment(actor=person, team=team, provider="openai"),
    ):
        with pytest.raises(NotAllowed):
            refused()


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"secret": " "}, "secret", "Paste the key"),
        ({"secret": "sk-one two-three"}, "secret", "holds a space"),
        ({"secret": "sk-äöü-12345678"}, "secret", "holds a space"),
        ({"secret": "sk-1"}, "secret", "this has 4"),
        ({"secret": "sk-ant-0123456789"}, "secret", "like a key for Anthropic"),
        ({"provider": "anthropic"}, "secret", "like a key for OpenAI"),
        ({"provider": "gemini"}, "provider", "is not a provider"),
        ({"base_url": "https://proxy.example.org"}, "base_url", "has one address"),
        ({"provider": "compatible", "base_url": ""}, "base_url", "Give the address"),
        ({"provider": "compatible", "base_url": "http://models.example.org/v1"}, "base_url", "https://"),
        ({"provider": "compatible", "base_url": "https://169.254.169.254/v1"}, "base_url", "inside a network"),
        ({"provider": "compatible", "base_url": "https://localhost/v1"}, "base_url", "inside a network"),
        ({"max_concurrency": 0}, "max_concurrency", "1 to 256"),
        ({"requests_per_minute": 0}, "requests_per_minute", "at least 1"),
        ({"name": "x" * 81}, "name", "more than 80"),
    ],
)
def test_what_cannot_be_a_key_is_refused_at_its_field_and_not_repeated(
    team: Team, alice: User, given: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(ApplicationError, match=said) as refused:
        created(alice, team, **given)

    assert refused.value.field == field
    assert (
        given.get("secret", PROVIDER_SECRET).strip() not in refused.value.message or not given.get("secret", "").strip()
    )
    assert ProviderKey.objects.count() == 0


def test_a_compatible_server_may_have_no_key_and_lie_where_the_operator_allows(
    team: Team, alice: User, settings: Any
) -> None:
    settings.PROVIDER_HOSTS = ["localhost:11434"]

    key = created(alice, team, provider="compatible", base_url="http://localhost:11434/v1/", secret="", name="Ollama")

    assert connection_of(key) == Connection("compatible", "http://localhost:11434/v1", "")
    assert (key.last_four, bool(key.secret)) == ("", False)


def test_a_name_is_taken_once_and_free_again_after_the_key_is_revoked(team: Team, alice: User) -> None:
    key = created(alice, team, name="Ours")

    with pytest.raises(Conflict, match="of this name already"):
        created(alice, team, name="Ours")
    provider_key_revoke(actor=alice, key=key)
    assert created(alice, team, name="Ours").pk != key.pk


def test_revoking_deletes_the_secret_and_the_next_key_takes_its_models_up(team: Team, alice: User) -> None:
    key = created(alice, team)
    model = CommercialModelFactory.create(team=team, provider_key=key)
    other_team = CommercialModelFactory.create(team=TeamFactory.create())
    unlike = CommercialModelFactory.create(team=team, provider="anthropic", provider_key=None)

    provider_key_revoke(actor=alice, key=key)

    assert (key.state, bool(key.secret), key.last_four) == ("revoked", False, "wxyz")
    with pytest.raises(KeyUnavailable, match="was revoked"):
        connection_of(key)
    for again in (
        lambda: provider_key_revoke(actor=alice, key=key),
        lambda: provider_key_replace(actor=alice, key=key, secret=NEW),
        lambda: provider_key_limits_change(actor=alice, key=key, max_concurrency=2, requests_per_minute=None),
    ):
        with pytest.raises(Conflict, match="revoked meanwhile"):
            again()

    new = created(alice, team, secret=NEW)
    for row in (model, other_team, unlike):
        row.refresh_from_db()
    assert model.provider_key == new
    assert other_team.provider_key.team != team
    assert unlike.provider_key is None


def test_replacing_keeps_models_and_limits_and_counts_as_untested(team: Team, alice: User) -> None:
    key = created(alice, team, max_concurrency=3)
    provider_key_checked(actor=None, key=key, ok=False, says="OpenAI does not know this key.")
    key.refresh_from_db()
    assert (key.state, key.check_error) == ("failing", "OpenAI does not know this key.")

    provider_key_replace(actor=alice, key=key, secret=NEW)

    assert (key.state, key.check_error, key.checked_at) == ("untested", "", None)
    assert (key.last_four, key.max_concurrency) == ("abcd", 3)
    assert connection_of(key).api_key == NEW
    assert NEW not in str(AuditEvent.objects.values())


def test_a_finding_about_a_key_that_was_replaced_meanwhile_is_not_kept(team: Team, alice: User) -> None:
    key = created(alice, team)
    as_tested = ProviderKey.objects.get(pk=key.pk)

    provider_key_replace(actor=alice, key=key, secret=NEW)

    assert not provider_key_checked(actor=alice, key=as_tested, ok=False, says="Not known.")
    assert provider_key_checked(actor=alice, key=key, ok=True)
    key.refresh_from_db()
    assert (key.state, key.check_error) == ("working", "")
    assert [event.facts["ok"] for event in AuditEvent.objects.filter(verb="provider_key.checked")] == [True]


def test_limits_are_changed_with_an_event(team: Team, alice: User) -> None:
    key = created(alice, team)

    provider_key_limits_change(actor=alice, key=key, max_concurrency=4, requests_per_minute=60)

    assert (key.max_concurrency, key.requests_per_minute) == (4, 60)
    facts = AuditEvent.objects.get(verb="provider_key.limits_changed").facts
    assert facts == {"name": "OpenAI", "max_concurrency": 4, "requests_per_minute": 60}


# --- from the environment


def test_a_key_of_the_environment_is_taken_up_once_and_never_stored(team: Team, alice: User, settings: Any) -> None:
    settings.PROVIDER_API_KEYS = {"openai": PROVIDER_SECRET, "anthropic": ""}
    settings.PROVIDER_BASE_URLS = {"openai": "https://proxy.example.org/v1", "anthropic": ""}
    waiting = CommercialModelFactory.create(team=team, provider_key=None)

    key = provider_key_from_environment(actor=alice, team=team, provider="openai")

    assert provider_key_from_environment(actor=None, team=team, provider="openai") == key
    assert (key.name, key.source, bool(key.secret)) == ("OpenAI, from the environment", "environment", False)
    waiting.refresh_from_db()
    assert waiting.provider_key == key
    assert connection_of(key) == Connection("openai", "https://proxy.example.org/v1", PROVIDER_SECRET)
    with pytest.raises(Conflict, match="comes from the environment"):
        provider_key_replace(actor=alice, key=key, secret=NEW)
    with pytest.raises(ApplicationError, match="holds no key for anthropic"):
        provider_key_from_environment(actor=alice, team=team, provider="anthropic")

    settings.PROVIDER_API_KEYS = {"openai": "", "anthropic": ""}
    with pytest.raises(KeyUnavailable, match="no longer holds OPENAI_API_KEY"):
        connection_of(key)


def test_a_secret_of_another_row_or_of_a_lost_encryption_key_says_what_to_do(
    team: Team, alice: User, settings: Any
) -> None:
    key, other = created(alice, team), created(alice, team, secret=NEW)
    key.secret = other.secret
    with pytest.raises(KeyUnavailable, match="cannot be read"):
        connection_of(key)

    settings.ENCRYPTION_KEYS = ["b3RoZXIta2V5LXRoYXQtZW5jcnlwdHMtbm90aGluZyE="]
    with pytest.raises(KeyUnavailable, match="puts that key back at the end of the list"):
        connection_of(other)
