"""How many queries a list costs: written down in query_counts.json, and the same for one row as for many."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.accounts.services.keys import api_key_create
from apps.billing.models import Alert, AlertDelivery, BudgetPeriod, CachedResponse
from apps.core.models import AuditEvent, JobStatus
from apps.core.tests import factories
from apps.experiments.models import PromptLabel

BASELINES = json.loads((Path(django_settings.BASE_DIR) / "query_counts.json").read_text(encoding="utf-8"))


def _datasets(team: Team, owner: User) -> None:
    factories.DatasetVersionFactory.create(dataset__team=team, dataset__created_by=owner)


def _models(team: Team, owner: User) -> None:
    factories.LanguageModelFactory.create(team=team)


def _jobs(team: Team, owner: User) -> None:
    experiment = factories.ExperimentFactory.create(team=team, created_by=owner)
    candidate = factories.CandidateFactory.create(experiment=experiment)
    factories.EvaluationFactory.create(candidate=candidate, status=JobStatus.RUNNING)
    factories.TrainingRunFactory.create(team=team, created_by=owner, status=JobStatus.FAILED)
    factories.QuickstartFactory.create(team=team, actor=owner, experiment=experiment, status=JobStatus.QUEUED)


def _prompts(team: Team, owner: User) -> None:
    version = factories.PromptVersionFactory.create(prompt__team=team)
    PromptLabel.objects.create(prompt=version.prompt, name="production", version=version)


def _playground(team: Team, owner: User) -> None:
    """One more of everything that it offers; the candidates are two."""
    _prompts(team, owner)
    _datasets(team, owner)
    _models(team, owner)
    factories.CommercialModelFactory.create(team=team)
    factories.ExperimentFactory.create(team=team, created_by=owner)


def _members(team: Team, owner: User) -> None:
    factories.MembershipFactory.create(team=team, role="viewer")


def _budgets(team: Team, owner: User) -> None:
    for closed_at in (None, timezone.now()):
        experiment = factories.ExperimentFactory.create(team=team, created_by=owner)
        budget = factories.BudgetFactory.create(team=team, experiment=experiment, closed_at=closed_at)
        BudgetPeriod.objects.create(budget=budget, key="total", limit_nanousd=1)


def _alerts(team: Team, owner: User) -> None:
    """An alert about a budget of its own, sent to a place of its own."""
    experiment = factories.ExperimentFactory.create(team=team, created_by=owner)
    budget = factories.BudgetFactory.create(team=team, experiment=experiment)
    period = BudgetPeriod.objects.create(budget=budget, key="total", limit_nanousd=1)
    alert = Alert.objects.create(
        team=team, kind="spent", level=50, budget_period=period, limit_nanousd=2, spent_nanousd=1, held_nanousd=0
    )
    place = factories.AlertDestinationFactory.create(team=team)
    AlertDelivery.objects.create(alert=alert, destination=place, next_attempt_at=timezone.now())


def _usage(team: Team, owner: User) -> None:
    """One call of a model of its own, booked at its bound and corrected, and a stored answer."""
    unknown = factories.UnknownFactory.create(team=team, person=owner)
    factories.entry_of(unknown, kind="unknown")
    factories.entry_of(unknown, kind="correction")
    CachedResponse.objects.create(
        team=team, key=str(unknown.uid), language_model=unknown.language_model, result={}, cost_nanousd=1
    )


def _provider_keys(team: Team, owner: User) -> None:
    factories.CommercialModelFactory.create(team=team)


def _api_keys(team: Team, owner: User) -> None:
    api_key_create(actor=owner, team=team, name="Nightly", scopes=["read"])


def _home(team: Team, owner: User) -> None:
    _jobs(team, owner)
    factories.ExperimentFactory.create(
        team=team, created_by=owner, conclusion_kind="better", conclusion_text="So it is."
    )
    AuditEvent.objects.create(
        team=team, actor=owner, actor_label=owner.email, verb="team.created", object_type="accounts.team"
    )


def _experiments(team: Team, owner: User) -> None:
    factories.CandidateFactory.create(experiment=factories.ExperimentFactory.create(team=team, created_by=owner))


def _training(team: Team, owner: User) -> None:
    factories.TrainingRunFactory.create(team=team, created_by=owner, status=JobStatus.QUEUED)


LISTS: dict[str, Callable[[Team, User], None]] = {
    "": _home,
    "datasets/": _datasets,
    "experiments/": _experiments,
    "jobs/": _jobs,
    "models/": _models,
    "playground/": _playground,
    "prompts/": _prompts,
    "settings/alerts/": _alerts,
    "settings/api-keys/": _api_keys,
    "settings/budgets/": _budgets,
    "settings/members/": _members,
    "settings/providers/": _provider_keys,
    "training/": _training,
    "usage/": _usage,
    "usage/cache/": _usage,
    "usage/unknown/": _usage,
}


def _queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(url)
    assert answer.status_code == 200
    return len(queries)


@pytest.mark.syntax
def test_every_list_has_a_baseline() -> None:
    assert BASELINES.keys() == LISTS.keys()


@pytest.mark.parametrize("path", LISTS)
def test_a_list_costs_what_is_written_down_however_long_it_is(
    path: str, client: Client, team: Team, alice: User
) -> None:
    client.force_login(alice)
    LISTS[path](team, alice)
    url = f"/t/{team.slug}/{path}"
    client.get(url)
    one = _queries(client, url)
    for _ in range(4):
        LISTS[path](team, alice)

    many = _queries(client, url)

    assert one == many == BASELINES[path]
