"""People of the fictional empty team whose pages its owner never sees: a rater, somebody in two teams, refusals."""

import uuid
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from apps.accounts.models import User
from apps.accounts.services.people import member_add, team_create
from apps.experiments.models import Experiment
from apps.experiments.services.datasets import dataset_create, dataset_version_create
from apps.workspace.tests.look_formats import format_pages
from apps.workspace.tests.look_rows import address
from apps.workspace.tests.look_world import Look


@dataclass(frozen=True)
class Person:
    """Somebody to sign in as. Each page: name, url, the status that is right, and what to press before it is seen."""

    user: User
    pages: list[dict[str, Any]]


def people_of(look: Look) -> list[Person]:
    """Beside the owner. Everybody is made once, with the empty team."""
    if look.version is not None:
        return []
    return [_rater(look), _owner_of_two(look)]


def _rater(look: Look) -> Person:
    slug = look.team.slug
    added = member_add(actor=look.owner, team=look.team, email=f"rita-{slug}@example.com", role="rater", name="Rita")
    return Person(
        added.membership.user,
        [
            {"name": "home-rater", "url": reverse("home", args=[slug])},
            {"name": "error-403", "url": reverse("experiments", args=[slug]), "status": 403},
        ],
    )


def _owner_of_two(look: Look) -> Person:
    slug = look.team.slug
    added = member_add(actor=look.owner, team=look.team, email=f"olga-{slug}@example.com", role="admin", name="Olga")
    olga = added.membership.user
    broken = _experiment_that_no_service_makes(olga, slug)
    return Person(
        olga,
        [
            {"name": "teams", "url": reverse("start")},
            {"name": "error-404", "url": reverse("experiment", args=[slug, uuid.UUID(int=0)]), "status": 404},
            {"name": "error-422", "url": reverse("members", args=[slug]), "status": 422, "press": "#add button"},
            {"name": "error-500", "url": reverse("experiment", args=[broken.team.slug, broken.uid]), "status": 500},
            *format_pages(olga, broken.team),
        ],
    )


def _experiment_that_no_service_makes(owner: User, slug: str) -> Experiment:
    """Its metrics are no list, so that its page cannot be drawn: the only way to see what a bug looks like."""
    team = team_create(actor=owner, name="Fictional team, second", slug=f"{slug}-second")
    dataset = dataset_create(actor=owner, team=team, name="Fictional addresses", split_seed=1)
    version = dataset_version_create(actor=owner, dataset=dataset, pairs=[address(n) for n in range(40)])
    experiment: Experiment = Experiment.objects.create(
        team=team,
        name="An experiment that cannot be drawn",
        question="What does a bug look like?",
        dataset_version=version,
        metrics=0,
        primary_metric="field_f1",
        margin=0.05,
        bootstrap_seed=1,
        created_by=owner,
    )
    return experiment
