"""A new team: each list says in one sentence what it will hold, and its one action makes the first of it."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from apps.accounts.models import Team, User
from apps.core import jobs
from apps.core.models import JobStatus
from apps.core.tests import warm
from apps.core.tests.pressing import Walker, has_class
from apps.core.tests.test_permissions import PEOPLE, ROWS
from apps.evaluation import tasks as evaluation_tasks
from apps.evaluation.models import Evaluation
from apps.experiments.models import DatasetImport, Upload
from apps.experiments.tasks import dataset_import_stage, upload_inspect
from apps.experiments.tests.upload_world import CSV
from apps.providers.models import ModelFetch
from apps.providers.tests.test_fetches import brought_in
from apps.training.models import Preflight
from apps.training.preflight_host import preflight_run
from apps.training.tests.plans import tiny_base
from apps.training.tests.tiny_models import build_model
from apps.workspace.models import ExperimentRun
from apps.workspace.tests.test_drafts import quick, worked

__all__ = ["quick"]

TEAM = "t/<slug:team>/"
# Pages below a team that name no object are lists or forms. These are lists that are never empty, so they say nothing.
NEVER_EMPTY = {
    TEAM: "shows everything of a team; its one action is the page's own",
    f"{TEAM}settings/alerts/": "the form for another place stands on it, for those who may add one",
    f"{TEAM}settings/budgets/": "the form for the first budget stands on it, for those who may make one",
    f"{TEAM}usage/cache/": "it says that no answer is stored; nobody makes the first by hand",
    f"{TEAM}usage/local-price/": "an hour always has a price, be it assumed",
    f"{TEAM}usage/unknown/": "empty is how it should be, and what it says then",
    f"{TEAM}settings/members/": "whoever looks is a member",
    f"{TEAM}settings/providers/": "the form for the first key stands on it, and whether text may leave",
}
PAGES = sorted({row["route"] for row in ROWS if row["method"] == "GET" and row["route"].startswith(TEAM)})
# A file is no page.
TOP_PAGES = [route for route in PAGES if "<" not in route.removeprefix(TEAM) and not route.endswith(".csv")]
ROLES = ("owner", "editor", "viewer")
ACTIONS = f".//div[{has_class('empty-action')}]"


def allowed(route: str, role: str) -> bool:
    return next(row[role] for row in ROWS if (row["route"], row["method"]) == (route, "GET")) == "200"


VISITS = [(route, role) for role in ROLES for route in TOP_PAGES if allowed(route, role)]


def at(route: str, team: Team) -> str:
    return "/" + route.replace("<slug:team>", team.slug)


@pytest.mark.django_db
@pytest.mark.parametrize(("route", "role"), VISITS)
def test_each_list_of_a_new_team_has_one_sentence_and_one_action(
    people: dict[str, User], team: Team, settings: Any, route: str, role: str
) -> None:
    walker = Walker(people[str(PEOPLE[role])])
    walker.open(at(route, team))
    actions = walker.main.xpath(ACTIONS)
    if not actions:
        # Whoever adds a list has to say what it will hold; a page that asks for something is no list.
        assert route in NEVER_EMPTY or walker.main.xpath(".//form[@method='post']"), f"{route} says nothing when empty"
        return
    (action,) = actions
    (sentence,) = walker.main.xpath(f".//div[{has_class('empty-text')}]")
    assert len(re.findall(r"[.!?](?:\s|$)", sentence.text_content().strip())) == 1, sentence.text_content()
    if role == "viewer":
        assert not action.xpath(".//a | .//button")
        assert "An owner, an admin or an editor" in action.text_content()
        assert not walker.main.xpath(".//*[@data-primary]")
        return
    (link,) = action.xpath(".//a")
    assert walker.main.xpath(".//*[@data-primary]") == [link]
    walker.follow(link.text_content().strip())


@pytest.mark.django_db
def test_the_lists_that_are_tried_are_those_of_the_product(team: Team, alice: User) -> None:
    walker = Walker(alice)
    walker.open(at(TEAM, team))
    assert [link.text_content().strip() for link in walker.main.xpath(".//a[@data-primary]")] == ["Use your own data"]
    sidebar = {link.get("href") for link in walker.page.xpath(".//aside//nav//a")}
    assert sidebar <= {at(route, team) for route in TOP_PAGES}


# --- the first of its kind


def some_file() -> SimpleUploadedFile:
    return SimpleUploadedFile("mail.csv", CSV.encode())


def first_dataset(walker: Walker) -> None:
    """From *Upload data* to a version."""
    walker.follow("Upload data")
    walker.press("Upload file", file=some_file())
    assert "You can leave this page" in walker.text
    upload_inspect(Upload.objects.latest("id").pk)
    walker.reload()
    walker.press("Check every row", name="Mail")
    assert "You can leave this page" in walker.text
    dataset_import_stage(DatasetImport.objects.latest("id").pk)
    walker.reload()
    walker.press("Create dataset version")


def first_prompt(walker: Walker) -> None:
    walker.follow("New prompt")
    walker.press("Save version", name="Reply", content="Which topic has this mail? {{ input }}")


def first_experiment(walker: Walker) -> None:
    """On data that it asks for itself; candidates, validation and final test with what needs no model."""
    start = walker.path
    walker.follow("New experiment")
    first_dataset(walker)
    walker.open(start)
    walker.follow("New experiment")
    walker.press("Create experiment", name="Which topic", question="Is a model needed?")
    walker.follow("Add candidates")
    walker.press("Add candidates", baselines=["most_frequent", "nearest"])
    walker.press("Try on validation")
    assert "You can leave this page" in walker.text
    for evaluation in Evaluation.objects.filter(status=JobStatus.QUEUED):
        evaluation_tasks.evaluation_slice(evaluation.pk)
    walker.reload()
    assert "You can leave this page" not in walker.text
    walker.press("Make reference")
    walker.press("Run final test")
    assert worked(ExperimentRun.objects.get()).status == JobStatus.SUCCEEDED


def first_run(walker: Walker) -> None:
    """On data that it asks for itself; measured by the real engine, and queued."""
    start = walker.path
    walker.follow("New training run")
    first_dataset(walker)
    walker.open(start)
    walker.follow("New training run")
    walker.press("Check this run", name="First run", max_examples="8")
    assert "You can leave this page" in walker.text
    claimed = jobs.claim(Preflight, Preflight.objects.get().pk)
    assert claimed is not None
    assert preflight_run(claimed.pk, attempt=claimed.attempt, claim=claimed.claim) == 0
    walker.reload()
    walker.press("Start training")
    assert "You can leave this page" in walker.text


def first_model(walker: Walker) -> None:
    walker.follow("Add model")
    walker.press("Add folder", folder=str(walker.model_folder), name="Our model")  # type: ignore[attr-defined]
    assert "You can leave this page" in walker.text
    assert brought_in(ModelFetch.objects.get()).status == JobStatus.SUCCEEDED


def first_job(walker: Walker) -> None:
    walker.follow("Upload data")
    walker.press("Upload file", file=some_file())


def first_member(walker: Walker) -> None:
    walker.press("Add member", email="dora@example.com", role="editor")
    assert "This link signs them in once" in walker.text


def first_key(walker: Walker) -> None:
    walker.press("Make key", name="Web shop")
    assert "it is shown only this once" in walker.text


def first_provider_key(walker: Walker) -> None:
    walker.press("Add key", provider="openai", secret="sk-first-0123456789-wxyz", name="Ours")
    assert "…wxyz" in walker.text


def first_budget(walker: Walker) -> None:
    walker.press("Make budget", limit="5")


def first_alert_place(walker: Walker) -> None:
    walker.press("Add place", address="money@example.com")


@dataclasses.dataclass(frozen=True)
class First:
    """A list, what makes the first of it, and what the list then says."""

    route: str
    make: Callable[[Walker], None]
    then: tuple[str, ...]


FIRSTS = (
    First("datasets", first_dataset, ("Mail", "120")),
    First("prompts", first_prompt, ("Reply",)),
    First("experiments", first_experiment, ("Which topic", "Finished", "No model is needed")),
    First("training_runs", first_run, ("First run", "First in the queue")),
    First("models", first_model, ("Our model", "Ready")),
    First("jobs", first_job, ("mail.csv", "Waiting")),
    First("members", first_member, ("dora@example.com",)),
    First("api_keys", first_key, ("Web shop", "Active")),
    First("provider_keys", first_provider_key, ("Ours", "…wxyz", "Not tested yet")),
    First("budgets", first_budget, ("The whole team", "$5")),
    First("alerts", first_alert_place, ("money@example.com", "none yet")),
)


@pytest.fixture
def places(
    settings: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hosts of models and preflights run in the tests' own process, below its folders."""
    # One machine, where whoever adds a person may also make their account.
    settings.EMBEDDED = True
    settings.VAR_DIR = tmp_path / "var"
    settings.MODEL_FOLDERS = [str(tmp_path_factory.getbasetemp())]
    settings.TRAINING_THREADS = 1
    monkeypatch.setattr("apps.training.preflight_host.close_old_connections", lambda: None)
    for host in ("apps.training.preflight_host", "apps.providers.host"):
        monkeypatch.setattr(f"{host}.subprocess", warm)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", FIRSTS, ids=lambda first: first.route)
def test_the_action_of_a_list_makes_the_first_of_it(
    team: Team, alice: User, places: None, quick: None, tmp_path: Path, first: First
) -> None:
    if first.route == "training_runs":
        tiny_base(team)
    walker = Walker(alice)
    if first.route == "models":
        walker.model_folder = build_model(tmp_path / "ours", "llama")  # type: ignore[attr-defined]
    walker.open(reverse(first.route, args=[team.slug]))

    first.make(walker)

    walker.open(reverse(first.route, args=[team.slug]))
    (*_, table) = walker.main.xpath(".//table[.//tbody/tr]")[:1]
    for said in first.then:
        assert said in " ".join(table.text_content().split())
    assert not walker.main.xpath(ACTIONS)


def test_each_list_of_the_sidebar_is_among_those_whose_first_object_is_made() -> None:
    made = {reverse(first.route, args=["team"]) for first in FIRSTS}
    lists = {"/" + route.replace("<slug:team>", "team") for route in TOP_PAGES}
    forms = {path for path in lists if path.endswith(("/new/", "/add/", "/tokens/", "/notices/"))}
    # What was spent is read there, and models are asked in the playground; nobody makes the first of either.
    read = {path for path in lists if path.startswith(("/t/team/usage/", "/t/team/playground/"))}
    assert made == lists - forms - read - {"/t/team/"}
