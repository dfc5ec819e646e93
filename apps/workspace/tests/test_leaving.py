"""Leaving a page is safe while something works, and the page says so; a viewer finds no link that is refused."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.urls import reverse

from apps.accounts.models import User
from apps.core.models import JobStatus
from apps.core.roles import Role
from apps.core.tests.factories import DatasetImportFactory, MembershipFactory, UserFactory
from apps.core.tests.pressing import Walker
from apps.evaluation.models import Evaluation
from apps.experiments.models import DatasetImport, Upload
from apps.training.models import Preflight
from apps.workspace.models import ExperimentRun
from apps.workspace.tests.look_world import FEW, Look, make_look

TEMPLATES = Path(django_settings.BASE_DIR) / "templates"
# It lists work; the page of each piece of it says where its result will be.
LISTS = {"workspace/home.html"}


@pytest.mark.syntax
def test_every_page_that_shows_work_under_way_says_that_one_may_leave_it() -> None:
    pages = [path for path in TEMPLATES.rglob("*.html") if path.parent.name not in ("cotton", "styleguide")]
    shown = {path.relative_to(TEMPLATES).as_posix(): path.read_text(encoding="utf-8") for path in pages}
    silent = {name for name, source in shown.items() if "<c-progress" in source and "<c-leave" not in source}

    # The page that sends a file must not be left before it is sent, and says so instead.
    assert silent == LISTS | {"experiments/dataset_new.html"}


@pytest.fixture
def running(settings: Any) -> Look:
    settings.EMBEDDED = True
    return make_look("running", addresses=FEW)


def address_of(row: Any, name: str, look: Look) -> str:
    return reverse(name, args=[look.team.slug, row.uid])


@pytest.mark.django_db
def test_each_page_of_running_work_says_so_and_says_it_no_more_once_it_has_ended(running: Look) -> None:
    walker = Walker(running.owner)
    DatasetImportFactory.create(upload=Upload.objects.filter(team=running.team).first())
    pages = {
        "upload": Upload.objects.filter(team=running.team),
        "dataset_import": DatasetImport.objects.filter(upload__team=running.team),
        "evaluation": Evaluation.objects.filter(experiment__team=running.team),
        "training_run": type(running.run).objects.filter(team=running.team),
        "training_preflight": Preflight.objects.filter(team=running.team),
    }
    for name, rows in pages.items():
        row = rows.first()
        assert row is not None, name
        for status, said in ((JobStatus.RUNNING, True), (JobStatus.CANCELLED, False)):
            type(row).objects.filter(pk=row.pk).update(status=status)
            walker.open(address_of(row, name, running))
            assert ("You can leave this page" in walker.text) is said, f"{name}, {status}"


@pytest.mark.django_db
def test_a_started_plan_and_a_running_experiment_say_so(running: Look) -> None:
    walker = Walker(running.owner)
    assert running.experiment is not None
    run = ExperimentRun.objects.get(experiment=running.experiment)
    walker.open(f"{reverse('quickstart_progress', args=[running.team.slug, running.experiment.uid])}?part=job")
    assert "You can leave this page" in walker.text
    ExperimentRun.objects.filter(pk=run.pk).update(experiment=None)
    walker.open(reverse("plan_started", args=[running.team.slug, run.uid]))
    assert "the experiment will be listed under Experiments" in walker.text


@pytest.fixture
def vera(running: Look) -> User:
    user: User = UserFactory.create(email="vera@example.com")
    MembershipFactory.create(user=user, team=running.team, role=Role.VIEWER)
    return user


def pages_from(walker: Walker, start: str) -> Iterator[tuple[str, str]]:
    """Every page below `start` that links lead to, and where from: one for each route and set of questions."""
    waiting, seen = [(start, start)], set()
    while waiting:
        path, linked = waiting.pop()
        kind = re.sub(r"[0-9a-f-]{32,}|\d+", "*", re.sub(r"=[^&]*", "=", path))
        is_file = path.partition("?")[0].endswith((".csv", ".zip", ".json", ".jsonl", ".md"))
        if kind in seen or not path.startswith(start) or is_file:
            continue
        seen.add(kind)
        walker.open(path)
        yield path, linked
        waiting += [(str(link), path) for link in walker.main.xpath(".//a/@href[starts-with(., '/')]")]


@pytest.mark.django_db
def test_a_viewer_finds_no_link_that_is_refused_and_no_button_that_changes_anything(running: Look, vera: User) -> None:
    walker = Walker(vera)
    start = reverse("home", args=[running.team.slug])
    visited, wrong = [], []
    for path, linked in pages_from(walker, start):
        visited.append(path)
        if walker.status != 200:
            wrong.append(f"{linked} leads to {path}, which answers {walker.status}")
        posts = [str(form.get("action")) for form in walker.main.xpath(".//form[@method='post']")]
        # Anybody may leave a team.
        wrong += [f"{path} offers {to}" for to in posts if not re.search("/settings/members/[^/]+/remove/$", to)]

    assert wrong == []
    assert len(visited) > 25
