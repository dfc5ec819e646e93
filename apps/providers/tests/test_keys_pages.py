"""Provider keys on their pages and by REST: what is shown of one, what a refusal keeps, what a viewer may do."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core.tests.factories import PROVIDER_SECRET, CommercialModelFactory, ProviderKeyFactory
from apps.providers.models import ProviderKey
from apps.providers.services import provider_key_checked

pytestmark = pytest.mark.django_db


def signed_in(client: Client, person: User) -> Client:
    client.force_login(person)
    return client


def text_of(answer: Any) -> str:
    return str(answer.content.decode())


def test_a_key_is_added_and_from_then_on_shown_by_its_last_four(client: Client, team: Team, adam: User) -> None:
    signed_in(client, adam)
    page = text_of(client.get(reverse("provider_keys", args=[team.slug])))
    assert "No provider key yet" in page

    data = {"provider": "openai", "secret": PROVIDER_SECRET, "name": "Ours", "base_url": ""}
    answer = client.post(reverse("provider_keys", args=[team.slug]), data, follow=True)

    key = ProviderKey.objects.get(name="Ours")
    assert answer.redirect_chain == [(reverse("provider_key", args=[team.slug, key.uid]), 302)]
    assert "The key “Ours” is added." in text_of(answer)
    for page in (text_of(answer), text_of(client.get(reverse("provider_keys", args=[team.slug])))):
        assert "…wxyz" in page
        assert "Not tested yet" in page
        assert PROVIDER_SECRET not in page


def test_what_is_refused_is_said_at_its_field_and_the_key_is_not_sent_back(
    client: Client, team: Team, alice: User
) -> None:
    signed_in(client, alice)
    secret = "sk-ant-planted-0123456789"

    answer = client.post(reverse("provider_keys", args=[team.slug]), {"provider": "openai", "secret": secret})

    assert answer.status_code == 422
    assert "This begins like a key for Anthropic." in text_of(answer)
    assert secret not in text_of(answer)


def test_the_page_of_a_key_says_what_its_test_found_and_what_it_is_used_by(
    client: Client, team: Team, alice: User
) -> None:
    model = CommercialModelFactory.create(team=team, name="GPT-6 Luna")
    key = model.provider_key
    provider_key_checked(actor=None, key=key, ok=False, says="OpenAI does not know this key: make a new one there.")
    signed_in(client, alice)

    page = text_of(client.get(reverse("provider_key", args=[team.slug, key.uid])))

    for said in ("Failing", "OpenAI does not know this key", "GPT-6 Luna", "Sends text to OpenAI", "Replace key"):
        assert said in page

    client.post(reverse("provider_key_replace", args=[team.slug, key.uid]), {"secret": "sk-second-0123456789-abcd"})
    client.post(
        reverse("provider_key_limits", args=[team.slug, key.uid]), {"max_concurrency": "2", "requests_per_minute": ""}
    )
    key.refresh_from_db()
    assert (key.last_four, key.state, key.max_concurrency) == ("abcd", "untested", 2)
    too_many = client.post(
        reverse("provider_key_limits", args=[team.slug, key.uid]),
        {"max_concurrency": "1000", "requests_per_minute": ""},
    )
    assert (too_many.status_code, "less than or equal to 256" in text_of(too_many)) == (422, True)

    client.post(reverse("provider_key_revoke", args=[team.slug, key.uid]))
    page = text_of(client.get(reverse("provider_key", args=[team.slug, key.uid])))
    assert "Revoked" in page
    assert "Replace key" not in page


def test_a_viewer_sees_the_keys_and_can_change_nothing(client: Client, team: Team, vera: User) -> None:
    key = ProviderKeyFactory.create(team=team, name="Ours")
    signed_in(client, vera)

    listed = text_of(client.get(reverse("provider_keys", args=[team.slug])))
    shown = text_of(client.get(reverse("provider_key", args=[team.slug, key.uid])))

    assert "Ours" in listed
    for page in (listed, shown):
        assert "Add key" not in page
        assert "Revoke key" not in page
        assert "Forbid sending text" not in page


def test_a_key_of_the_environment_is_offered_taken_up_given_back_and_offered_again(
    client: Client, team: Team, alice: User, settings: Any
) -> None:
    settings.PROVIDER_API_KEYS = {"openai": PROVIDER_SECRET, "anthropic": ""}
    signed_in(client, alice)
    url = reverse("provider_keys", args=[team.slug])
    assert "set OPENAI_API_KEY for every team of this installation; it ends in wxyz" in text_of(client.get(url))

    page = text_of(client.post(reverse("provider_key_take_up", args=[team.slug]), {"provider": "openai"}, follow=True))
    assert "OpenAI, from the environment" in page
    assert "is offered" not in page

    key = ProviderKey.objects.get()
    page = text_of(client.get(reverse("provider_key", args=[team.slug, key.uid])))
    assert "Replace key" not in page
    client.post(reverse("provider_key_revoke", args=[team.slug, key.uid]))
    page = text_of(client.get(url))
    assert "This team has given it back." in page

    # Taken up, and then gone from the environment: the page says so, without a call.
    client.post(reverse("provider_key_take_up", args=[team.slug]), {"provider": "openai"})
    settings.PROVIDER_API_KEYS = {"openai": "", "anthropic": ""}
    assert "The environment no longer holds OPENAI_API_KEY." in text_of(client.get(url))
    assert PROVIDER_SECRET not in page


def test_whether_text_may_leave_is_one_press_and_says_what_it_means(client: Client, team: Team, alice: User) -> None:
    signed_in(client, alice)
    url = reverse("provider_keys", args=[team.slug])
    assert "Forbid sending text" in text_of(client.get(url))

    page = text_of(client.post(reverse("text_may_leave", args=[team.slug]), {"allowed": "no"}, follow=True))

    team.refresh_from_db()
    assert team.text_may_leave is False
    assert "No text is sent to other companies any more." in page
    assert "Allow sending text" in page
    client.post(reverse("text_may_leave", args=[team.slug]), {"allowed": "yes"})
    team.refresh_from_db()
    assert team.text_may_leave is True


# --- REST


def sent(client: Client, method: str, path: str, body: Any = None) -> Any:
    given = {} if body is None else {"data": body, "content_type": "application/json"}
    return getattr(client, method)(f"/api/v1/provider-keys{path}", **given)


def test_by_rest_a_key_is_kept_changed_replaced_and_revoked(client: Client, team: Team, alice: User) -> None:
    signed_in(client, alice)

    made = sent(client, "post", "", {"provider": "openai", "secret": PROVIDER_SECRET, "max_concurrency": 5})
    assert made.status_code == 201
    key = made.json()
    assert (key["name"], key["last_four"], key["max_concurrency"], key["state"]) == ("OpenAI", "wxyz", 5, "untested")
    assert made.headers["Location"].endswith(f"/api/v1/provider-keys/{key['uid']}")

    path = f"/{key['uid']}"
    changed = sent(client, "patch", path, {"requests_per_minute": 30}).json()
    assert (changed["max_concurrency"], changed["requests_per_minute"]) == (5, 30)
    assert (
        sent(client, "post", f"{path}/replace", {"secret": "sk-second-0123456789-abcd"}).json()["last_four"] == "abcd"
    )
    assert sent(client, "delete", path).status_code == 204
    assert sent(client, "delete", path).status_code == 409
    (listed,) = sent(client, "get", "").json()["results"]
    assert listed["state"] == "revoked"
    assert PROVIDER_SECRET not in f"{made.content!r}{changed}{listed}"


def test_by_rest_a_refusal_names_the_field_and_repeats_no_key(client: Client, team: Team, alice: User) -> None:
    signed_in(client, alice)

    refused = sent(client, "post", "", {"provider": "anthropic", "secret": PROVIDER_SECRET})

    problem = refused.json()
    assert (refused.status_code, problem["field"]) == (400, "secret")
    assert PROVIDER_SECRET not in str(problem)
    nothing = sent(client, "post", "", {"provider": "openai", "source": "environment"}).json()
    assert "holds no key for openai" in nothing["title"]
