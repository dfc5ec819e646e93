"""Models of providers on the pages of models: prices, retirement, keys, and a team that lets no text leave."""

from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from lxml import html

from apps.accounts.models import Team, User
from apps.accounts.services.people import team_text_may_leave_set
from apps.core.errors import ApplicationError, Conflict, NotAllowed
from apps.core.models import AuditEvent
from apps.core.tests.factories import (
    CommercialModelFactory,
    ExperimentFactory,
    ProviderKeyFactory,
    TeamFactory,
)
from apps.experiments.services.candidates import candidate_add
from apps.providers.entries import model_choices
from apps.providers.models import LanguageModel
from apps.providers.services import (
    language_model_add_commercial,
    language_model_key_change,
    language_models_retire,
    provider_key_checked,
    provider_key_revoke,
)
from apps.workspace.selectors.model_choices import choices_of
from apps.workspace.services.chosen_models import models_use

pytestmark = pytest.mark.django_db

LATE_NOVEMBER = "2026-11-30T12:00:00Z"


def added(team: Team, name: str, **more: Any) -> LanguageModel:
    given = {"actor": None, "team": team, "provider": "openai", "provider_model": name, **more}
    return language_model_add_commercial(**given)


def row_of(client: Client, team: Team, name: str) -> str:
    """The row of the model on the list, as it is written."""
    page = html.fromstring(client.get(reverse("models", args=[team.slug])).content.decode())
    rows = {row[0].text_content().split("  ")[0].strip().split("\n")[0]: row for row in page.iterfind(".//tbody/tr")}
    (found,) = [row for cell, row in rows.items() if cell == name or cell.startswith(f"{name}gpt")]
    return " ".join(html.tostring(found, encoding="unicode").split())


@time_machine.travel(LATE_NOVEMBER)
def test_without_a_key_every_offer_says_so_and_leads_to_where_one_is_added(
    client: Client, team: Team, alice: User
) -> None:
    client.force_login(alice)

    row = row_of(client, team, "GPT-6 Luna")

    for said in ("Needs a provider key", "Sends text to OpenAI", "1,050,000", "0.10", "0.50", "0.20 above 272,000"):
        assert said in row
    assert reverse("provider_keys", args=[team.slug]) in row
    retiring = row_of(client, team, "GPT-5 mini")
    assert "11 Dec 2026" in retiring
    assert "then gpt-6.1-terra" in retiring


@time_machine.travel(LATE_NOVEMBER)
def test_a_retired_model_names_what_replaces_it_and_has_no_button(client: Client, team: Team, alice: User) -> None:
    ProviderKeyFactory.create(team=team)
    client.force_login(alice)

    row = row_of(client, team, "GPT-4")

    assert "OpenAI retired gpt-4 on 23 Oct 2026 and names gpt-5.6-sol in its place." in row
    assert "<form" not in row
    page = client.get(reverse("models", args=[team.slug])).content.decode()
    assert page.index("GPT-6 Luna") < page.index("GPT-4 Turbo") < page.index("Claude Haiku 5.5")


def test_with_a_key_one_press_adds_the_model(client: Client, team: Team, bob: User) -> None:
    key = ProviderKeyFactory.create(team=team)
    client.force_login(bob)
    assert "Add model" in row_of(client, team, "GPT-6 Luna")

    answer = client.post(reverse("model_commercial", args=[team.slug]), {"key": "openai:gpt-6-luna"}, follow=True)

    assert "GPT-6 Luna is added." in answer.content.decode()
    model = LanguageModel.objects.get(served_name="gpt-6-luna")
    assert (model.state, model.kind, model.context_length) == ("ready", "commercial", 1_050_000)
    assert (model.provider_key, model.provider_model) == (key, "gpt-6-luna")
    assert "Ready" in row_of(client, team, "GPT-6 Luna")
    provider_key_checked(actor=None, key=key, ok=False, says="OpenAI does not know this key.")
    assert "OpenAI does not know this key." in row_of(client, team, "GPT-6 Luna")
    page = client.get(reverse("model", args=[team.slug, model.uid])).content.decode()
    for said in ("Its key fails", "OpenAI does not know this key.", "$0.10 in, $0.50 out (genai-prices", key.name):
        assert said in page


def test_a_model_that_nobody_knows_a_price_of_leads_to_where_one_is_set(
    client: Client, team: Team, bob: User, alice: User
) -> None:
    key = ProviderKeyFactory.create(team=team)
    client.force_login(bob)
    data = {"key": str(key.uid), "provider_model": "gpt-99-secret", "context_length": "1000"}

    made = client.post(reverse("model_commercial_new", args=[team.slug]), data, follow=True)

    model = LanguageModel.objects.get(served_name="gpt-99-secret")
    price = reverse("model_price", args=[team.slug, model.uid])
    assert made.redirect_chain == [(price, 302)]
    assert "It is not called until it has a price." in made.content.decode()
    assert "An owner or an admin of this team can set it." in made.content.decode()
    assert f'<a href="{price}">no price</a>' in row_of(client, team, "gpt-99-secret")
    page = reverse("model", args=[team.slug, model.uid])
    assert price in client.get(page).content.decode()
    client.force_login(alice)
    assert "Set a price" in client.get(page).content.decode()


def test_what_the_provider_publishes_of_a_model_need_not_be_typed(client: Client, team: Team, bob: User) -> None:
    key = ProviderKeyFactory.create(team=team)
    client.force_login(bob)
    data = {"key": str(key.uid), "provider_model": "gpt-5.5", "context_length": ""}

    assert client.post(reverse("model_commercial_new", args=[team.slug]), data).status_code == 302

    assert LanguageModel.objects.get(served_name="gpt-5.5").context_length == 1_000_000


def test_a_server_of_ones_own_has_models_under_its_name_and_no_price_until_one_is_set(
    client: Client, team: Team, bob: User, settings: Any
) -> None:
    settings.PROVIDER_HOSTS = ["localhost:11434"]
    key = ProviderKeyFactory.create(
        team=team, provider="compatible", base_url="http://localhost:11434/v1", name="Ollama here"
    )
    client.force_login(bob)
    data = {"key": str(key.uid), "provider_model": "qwen2.5:7b", "context_length": "32768"}

    answer = client.post(reverse("model_commercial_new", args=[team.slug]), data)

    model = LanguageModel.objects.get(provider="compatible")
    assert answer.headers["Location"] == reverse("model_price", args=[team.slug, model.uid])
    assert (model.served_name, model.context_length, bool(model.revision)) == ("ollama-here/qwen2.5:7b", 32768, True)
    row = row_of(client, team, "qwen2.5:7b")
    assert "Runs at localhost:11434, inside your network" in row
    assert "no price" in row
    with pytest.raises(ApplicationError, match="how many tokens its context holds"):
        added(team, "other", provider="compatible", key=key)


def test_a_team_that_lets_no_text_leave_sees_the_models_and_can_choose_none(
    client: Client, team: Team, alice: User, settings: Any
) -> None:
    model = CommercialModelFactory.create(team=team, name="Chosen before")
    inside = CommercialModelFactory.create(
        team=team,
        name="Inside",
        provider="compatible",
        provider_key__provider="compatible",
        provider_key__base_url="http://10.1.2.3/v1",
    )
    settings.PROVIDER_HOSTS = ["10.0.0.0/8"]
    team_text_may_leave_set(actor=alice, team=team, allowed=False)
    client.force_login(alice)

    assert "Text may not leave" in row_of(client, team, "Chosen before")
    assert "Text may not leave" in row_of(client, team, "GPT-6 Luna")
    assert "Ready" in row_of(client, team, "Inside")
    with pytest.raises(ApplicationError, match="lets no text leave to other companies, so OpenAI is not called"):
        _candidate(alice, model)
    with pytest.raises(ApplicationError, match="lets no text leave"):
        added(Team.objects.get(pk=team.pk), "gpt-6-luna")
    assert _candidate(alice, inside).language_model == inside


@time_machine.travel(LATE_NOVEMBER)
def test_a_temperature_that_a_model_refuses_is_the_providers_own_and_one_that_was_chosen_is_refused(
    team: Team, alice: User
) -> None:
    key = ProviderKeyFactory.create(team=team)
    may_reason, plain = added(team, "gpt-6-luna", key=key), added(team, "gpt-4.1-mini", key=key)
    reasons = added(team, "gpt-5-mini", key=key)

    asked = {"temperature": 0.0, "max_tokens": 60}
    assert _candidate(alice, plain, **asked).parameters == asked
    assert _candidate(alice, may_reason, **asked).parameters == {**asked, "reasoning_effort": "none"}
    # It has room for its reasoning beside the answer, and is not given it twice.
    accepted = _candidate(alice, reasons, **asked).parameters
    assert accepted == {"temperature": None, "max_tokens": 60 + 1024, "reasoning_effort": "minimal"}
    assert _candidate(alice, reasons, **accepted).parameters == accepted
    with pytest.raises(ApplicationError, match="GPT-5 mini takes no temperature") as refused:
        _candidate(alice, reasons, temperature=0.7, max_tokens=60)
    assert refused.value.field == "temperature"


def _candidate(actor: User, model: LanguageModel, **parameters: Any) -> Any:
    model.refresh_from_db()
    return candidate_add(
        actor=actor,
        experiment=ExperimentFactory.create(team=model.team),
        name="One",
        kind="commercial",
        language_model=model,
        prompt_version=None,
        parameters=parameters,
    )


def test_what_was_retired_or_has_no_key_is_no_new_candidate(team: Team, alice: User) -> None:
    with time_machine.travel("2026-10-01T12:00:00Z"):
        old = added(team, "gpt-4")
    keyless = added(team, "gpt-6-luna")
    revoked = CommercialModelFactory.create(team=team)
    provider_key_revoke(actor=alice, key=revoked.provider_key)

    with time_machine.travel(LATE_NOVEMBER):
        for model, said in (
            (old, "OpenAI retired GPT-4"),
            (keyless, "It needs a key for OpenAI"),
            (revoked, "was revoked. It needs another"),
        ):
            with pytest.raises(ApplicationError, match=said):
                _candidate(alice, model)
        with pytest.raises(ApplicationError, match="names gpt-5.6-sol in its place"):
            added(team, "gpt-4-0613")


def test_models_are_retired_when_their_day_has_come_with_an_event_and_once(team: Team) -> None:
    with time_machine.travel("2026-10-01T12:00:00Z"):
        model = added(team, "gpt-3.5-turbo")
        added(team, "gpt-6-luna")
        assert language_models_retire(actor=None) == 0

    with time_machine.travel("2026-10-23T00:00:01Z"):
        assert language_models_retire(actor=None) == 1
        assert language_models_retire(actor=None) == 0

    model.refresh_from_db()
    assert model.state == "retired"
    event = AuditEvent.objects.get(verb="language_model.retired")
    assert event.facts == {"name": "GPT-3.5 Turbo", "then": "gpt-5.6-terra"}


def test_the_same_model_again_is_the_same_row_and_names_are_checked(team: Team, bob: User, vera: User) -> None:
    model = added(team, "gpt-6-luna")
    key = ProviderKeyFactory.create(team=team)

    assert added(team, " gpt-6-luna ", key=key) == model
    model.refresh_from_db()
    assert model.provider_key == key
    with pytest.raises(ApplicationError, match="Give the provider's own name"):
        added(team, "gpt 6; drop table")
    with pytest.raises(ApplicationError, match="is not a provider"):
        added(team, "gemini-4", provider="google")
    with pytest.raises(ApplicationError, match="not one of this team"):
        added(team, "gpt-6-luna", key=ProviderKeyFactory.create(team=TeamFactory.create()))
    with pytest.raises(NotAllowed):
        added(team, "gpt-6-luna", actor=vera)
    CommercialModelFactory.create(
        team=team, kind="local", served_name="mine", provider="", provider_model="", provider_key=None
    )
    with pytest.raises(Conflict, match="it runs here"):
        added(team, "mine", context_length=10)

    other = ProviderKeyFactory.create(team=team)
    language_model_key_change(actor=bob, model=model, key=other)
    model.refresh_from_db()
    assert model.provider_key == other
    assert AuditEvent.objects.get(verb="language_model.key_changed", actor=bob).facts["key"] == other.name


def test_a_form_offers_what_has_a_key_and_choosing_it_adds_it(team: Team, bob: User) -> None:
    def offered() -> dict[str, Any]:
        return {choice.entry.name: choice for choice in choices_of(user=bob, team=team)}

    assert "GPT-6 Luna" not in offered()
    ProviderKeyFactory.create(team=team)
    choice = offered()["GPT-6 Luna"]
    assert (choice.possible, choice.value) == (True, "list:openai:gpt-6-luna")
    assert "Sends text to OpenAI" in choice.label
    assert "GPT-4" not in offered()
    assert "Claude Haiku 5.5" not in offered()

    (model,) = models_use(actor=bob, team=team, values=[choice.value])

    assert (model.served_name, model.state) == ("gpt-6-luna", "ready")
    assert offered()["GPT-6 Luna"].ready
    assert all(entry.selectable for entry in model_choices(user=bob, team=team) if entry.provider)


def test_by_rest_a_model_says_until_when_it_answers_and_why_it_cannot_be_called(
    client: Client, team: Team, alice: User
) -> None:
    with time_machine.travel("2026-10-01T12:00:00Z"):
        added(team, "gpt-4", key=ProviderKeyFactory.create(team=team))
    added(team, "claude-haiku-5-5", provider="anthropic")
    client.force_login(alice)

    with time_machine.travel(LATE_NOVEMBER):
        found = {each["served_name"]: each for each in client.get("/api/v1/models").json()["results"]}

    old = found["gpt-4"]
    assert (old["provider"], old["retires_on"], old["replaced_by"]) == ("openai", "2026-10-23", "gpt-5.6-sol")
    assert old["unavailable"] == "OpenAI retired GPT-4 on 23 Oct 2026 and names gpt-5.6-sol in its place."
    assert found["claude-haiku-5-5"]["unavailable"] == "It needs a key for Anthropic."
