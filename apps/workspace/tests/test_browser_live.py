"""Parts that are fetched again take nothing out of a person's hands, and arrive where event streams do not."""

import re
from collections.abc import Callable

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from apps.core import live
from apps.core.models import JobStatus
from apps.experiments.models import Experiment
from apps.training.models import TrainingRun
from apps.workspace.models import ExperimentRun
from apps.workspace.tests.browser import Server, Visit, beside, clean, server, visits, web_process
from apps.workspace.tests.look_world import FEW, Look, make_look

__all__ = ["server", "visits", "web_process"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Visits = Callable[..., Visit]


@pytest.fixture
def running(server: Server) -> Look:
    """A team whose training and evaluation are under way."""
    return make_look("running", addresses=FEW)


def address(look: Look, name: str) -> str:
    found = look.experiment if name == "experiment" else look.run
    assert found is not None
    return reverse(name, args=[look.team.slug, found.uid])


def swapped(page: Page, look: Look, part: str) -> None:
    """Tell the open page that the training has got on, until the part is another one."""
    page.evaluate("part => { document.querySelector(part).old = true }", part)
    beside(lambda: live.publish(look.run, "progress"))
    page.wait_for_function("part => !document.querySelector(part).old", arg=part, timeout=30_000)


def test_the_focus_stays_on_a_button_of_a_part_that_is_fetched_again(running: Look, visits: Visits) -> None:
    with clean(visits()) as visit:
        visit.sign_in(running.owner)
        visit.open(address(running, "training_run"))
        page = visit.page
        page.get_by_role("button", name="Cancel job").focus()

        swapped(page, running, "#training-progress")

        assert page.evaluate("document.activeElement.closest('#training-progress') !== null")
        expect(page.get_by_role("button", name="Cancel job")).to_be_focused()


def test_a_table_that_was_opened_stays_open(running: Look, visits: Visits) -> None:
    with clean(visits()) as visit:
        visit.sign_in(running.owner)
        visit.open(address(running, "training_run"))
        page = visit.page
        page.get_by_text("Show as a table").nth(1).click()
        opened = "[...document.querySelectorAll('.chart-table')].map(each => each.open)"
        before = page.evaluate(opened)

        swapped(page, running, "#training-charts")

        assert before[:2] == [False, True]
        assert page.evaluate(opened) == before


def test_a_leaderboard_that_was_scrolled_stays_where_it_was(running: Look, visits: Visits) -> None:
    with clean(visits(viewport={"width": 375, "height": 812})) as visit:
        visit.sign_in(running.owner)
        visit.open(address(running, "experiment"))
        page = visit.page
        page.evaluate("document.querySelector('#board .table-scroll').scrollLeft = 120")
        page.evaluate("document.querySelector('#board').old = true")

        page.wait_for_function("() => !document.querySelector('#board').old", timeout=30_000)

        assert page.evaluate("document.querySelector('#board .table-scroll').scrollLeft") == 120


def test_where_no_stream_gets_through_the_conclusion_appears_all_the_same(running: Look, visits: Visits) -> None:
    visit = visits()
    visit.sign_in(running.owner)
    page = visit.page
    page.route("**/events/**", lambda route: route.fulfill(status=204))
    page.add_init_script(
        "const later = window.setTimeout; window.setTimeout = (work, after, ...rest) =>"
        " later(work, after >= 15000 ? 500 : after, ...rest)"
    )
    visit.open(address(running, "experiment"))
    expect(page.locator("#main")).to_contain_text("At work")
    beside(lambda: _conclude(running))

    expect(page.locator("#main")).to_contain_text("So it is concluded.", timeout=10_000)
    expect(page.locator("#main")).not_to_contain_text("At work")


def _conclude(look: Look) -> None:
    Experiment.objects.filter(pk=look.experiment.pk).update(  # type: ignore[union-attr]
        state=Experiment.State.FINISHED, conclusion_text="So it is concluded.", finished_at=timezone.now()
    )


def test_what_has_ended_is_said_on_another_page_and_leads_there(running: Look, visits: Visits) -> None:
    with clean(visits()) as visit:
        visit.sign_in(running.owner)
        visit.open(reverse("datasets", args=[running.team.slug]))
        page = visit.page
        assert running.run is not None
        running_run = running.run

        def end() -> None:
            # As one that a person has started by itself.
            ExperimentRun.objects.filter(training_run=running_run).update(training_run=None)
            ended = TrainingRun.objects.filter(pk=running_run.pk)
            ended.update(status=JobStatus.SUCCEEDED, finished_at=timezone.now(), created_by=running.owner)
            live.publish(running_run, "status")

        beside(end)
        toast = page.locator("#toasts [data-toast]").filter(has_text=f"{running_run.name} is trained.")
        expect(toast).to_have_count(1, timeout=30_000)

        toast.get_by_role("link", name="See the training").click()
        expect(page).to_have_url(re.compile(reverse("training_run", args=[running.team.slug, running_run.uid])))
