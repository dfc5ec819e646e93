"""What people do in a browser, done in a browser: signing in, walking through the main job, watching it live."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from apps.accounts.models import User
from apps.accounts.services.people import sign_in_link_create
from apps.core import jobs
from apps.core.models import JobStatus
from apps.core.roles import Role
from apps.core.tests.factories import PASSWORD, MembershipFactory, TeamFactory, UserFactory
from apps.evaluation.models import Evaluation
from apps.training.models import TrainingRun
from apps.workspace.tests.browser import Server, Visit, beside, clean, server, visits, web_process
from apps.workspace.tests.look_world import FEW, TUNED, Look, make_look

__all__ = ["server", "visits", "web_process"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Visits = Callable[..., Visit]


@dataclass(frozen=True)
class Places:
    """The addresses of one walk through a team's main job."""

    home: str
    experiment: str
    progress: str
    run: str
    evaluation: str
    outputs: str
    example: str


def places_of(look: Look) -> Places:
    assert look.experiment is not None
    assert look.run is not None
    slug, uid = look.team.slug, look.experiment.uid
    evaluation = Evaluation.objects.get(experiment=look.experiment, candidate__name=TUNED)
    outputs = reverse("experiment_outputs", args=[slug, uid])
    return Places(
        home=reverse("home", args=[slug]),
        experiment=reverse("experiment", args=[slug, uid]),
        progress=reverse("quickstart_progress", args=[slug, uid]),
        run=reverse("training_run", args=[slug, look.run.uid]),
        evaluation=reverse("evaluation", args=[slug, evaluation.uid]),
        outputs=outputs,
        example=f"{outputs}{evaluation.outputs.order_by('example_id').first().example_id}/",
    )


@pytest.fixture
def full(server: Server) -> Look:
    """A team whose main job has ended."""
    return make_look("full", addresses=FEW)


@pytest.fixture
def running(server: Server) -> Look:
    """A team whose training and evaluation are under way."""
    return make_look("running", addresses=FEW)


@pytest.fixture
def alice(server: Server) -> User:
    """Owns a team in which nothing has happened yet, and has a password."""
    user = UserFactory.create(email="alice@example.com")
    MembershipFactory.create(user=user, team=TeamFactory.create(slug="quiet"))
    return user


def link_of(user: User) -> str:
    return reverse("sign_in_link", args=[sign_in_link_create(actor=None, user=user)])


def walk(visit: Visit, link: str, places: Places, *, scripts: bool = True) -> None:
    """From the link to one example, by nothing but clicks on links."""
    visit.open(link)
    assert visit.path() == places.home
    steps = [places.experiment, places.run, places.experiment, places.evaluation, places.experiment]
    steps += [places.outputs, places.example]
    for path in steps:
        if path == places.run and not scripts:
            visit.follow(f"{places.experiment}setup/")
            visit.follow(f"{places.progress}?part=strip")
        elif path == places.run:
            visit.follow(f"{places.experiment}setup/")
            visit.settle()
        elif path == places.experiment and visit.path() == places.run:
            visit.follow(f"{places.home}experiments/", within=".sidebar")
        visit.follow(path)
        if scripts:
            visit.settle()


def test_a_person_with_a_link_walks_from_home_to_one_example_and_nothing_goes_wrong(full: Look, visits: Visits) -> None:
    link, places = beside(lambda: link_of(full.owner)), beside(lambda: places_of(full))

    with clean(visits()) as visit:
        walk(visit, link, places)

        main = visit.page.locator("#main")
        for name in ("Expected", TUNED, "Token lookup", "Base model, few-shot prompt", "tokens written"):
            expect(main).to_contain_text(name)

    with clean(visits()) as late:
        late.expected[link] = 410
        late.open(link)
        expect(late.page.locator("#main")).to_contain_text("This sign-in link has been used")
        late.open(places.home)
        assert late.path() == reverse("sign_in")


def test_without_javascript_every_link_of_that_walk_still_works(full: Look, visits: Visits) -> None:
    link, places = beside(lambda: link_of(full.owner)), beside(lambda: places_of(full))

    with clean(visits(java_script_enabled=False)) as visit:
        walk(visit, link, places, scripts=False)

        expect(visit.page.locator("#main")).to_contain_text(TUNED)


def test_a_wrong_password_says_so_and_keeps_the_address_and_a_right_one_lets_in(alice: User, visits: Visits) -> None:
    with clean(visits()) as visit:
        visit.expected[reverse("sign_in")] = 422
        visit.open("/")
        page = visit.page
        page.get_by_label("E-mail address").fill("alice@example.com")
        page.get_by_label("Password").fill("not her password")
        page.get_by_role("button", name="Sign in").click()

        expect(page.locator("#main")).to_contain_text("This e-mail address and password do not belong together.")
        assert page.get_by_label("E-mail address").input_value() == "alice@example.com"
        assert page.get_by_label("Password").input_value() == ""

        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/t/quiet/")

        page.locator("summary[aria-label='Your account']").click()
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url(f"**{reverse('sign_in')}")
        visit.open("/t/quiet/")
        assert visit.path() == reverse("sign_in")


def test_a_page_shows_a_change_of_its_job_without_being_loaded_again(running: Look, visits: Visits) -> None:
    places = beside(lambda: places_of_running(running))

    with clean(visits()) as visit:
        visit.sign_in(running.owner)
        page = visit.page
        # The page also asks by itself every few seconds; here only an event may tell it.
        page.add_init_script(
            "const later = window.setTimeout; window.setTimeout = (work, after, ...rest) =>"
            " after >= 5000 ? 0 : later(work, after, ...rest)"
        )
        with page.expect_response(lambda answer: "/events/" in answer.url):
            visit.open(places)
        page.evaluate("window.same = true")
        expect(page.locator("#training-progress")).to_contain_text("Running")
        beside(lambda: jobs.job_cancel(actor=running.owner, row=TrainingRun.objects.get(team=running.team)))

        expect(page.locator("#training-progress")).to_contain_text("Cancelling", timeout=5_000)
        assert page.evaluate("window.same") is True


def places_of_running(look: Look) -> str:
    assert look.run is not None
    return reverse("training_run", args=[look.team.slug, look.run.uid])


def tab_to(page: Page, selector: str, *, most: int = 60) -> None:
    """Press Tab until the focus is on `selector`."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{most} tabs did not reach {selector}")


def test_with_the_keyboard_alone_a_person_signs_in_and_opens_the_first_experiment(full: Look, visits: Visits) -> None:
    def choose_password() -> Places:
        full.owner.set_password(PASSWORD)
        full.owner.save()
        return places_of(full)

    places = beside(choose_password)

    with clean(visits()) as visit:
        visit.open("/")
        page = visit.page
        tab_to(page, "input[type=email]")
        page.keyboard.type(full.owner.email)
        tab_to(page, "input[type=password]")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(visit.base + places.home)

        tab_to(page, f'.sidebar a[href="{places.home}experiments/"]')
        page.keyboard.press("Enter")
        page.wait_for_url(f"**{places.home}experiments/")
        tab_to(page, f'#main a[href="{places.experiment}"]')
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        page.keyboard.press("Enter")
        page.wait_for_url(visit.base + places.experiment)

        assert outline != "none", "the focused link must be visible"


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_the_chosen_theme_stays_on_the_next_page_and_after_a_reload(alice: User, visits: Visits) -> None:
    with clean(visits(color_scheme="light")) as visit:
        visit.sign_in(alice)
        visit.open("/t/quiet/")
        page = visit.page
        light = background(page)
        page.get_by_role("button", name="Switch between light and dark").click()
        dark = background(page)
        visit.open("/t/quiet/jobs/")
        kept = background(page)
        page.reload()

        assert light != dark
        assert kept == background(page) == dark


def test_the_operators_pages_work_under_their_policy(full: Look, visits: Visits) -> None:
    def make_operator() -> tuple[User, Evaluation]:
        olga = UserFactory.create(email="olga@example.com", is_staff=True, is_superuser=True)
        return olga, Evaluation.objects.filter(experiment=full.experiment).first()

    olga, evaluation = beside(make_operator)

    with clean(visits()) as visit:
        visit.sign_in(olga)
        jobs_of = "evaluation/evaluation/"
        for path in ("", jobs_of, f"{jobs_of}{evaluation.pk}/change/", "core/auditevent/"):
            visit.open(f"/admin/{path}")
            visit.page.wait_for_load_state("networkidle")
            assert visit.page.title()


def test_the_witness_reports_a_refused_script_a_failed_request_and_a_console_error(alice: User, visits: Visits) -> None:
    visit = visits()
    visit.sign_in(alice)
    visit.open("/t/quiet/")
    assert visit.problems == []

    visit.page.evaluate("""async () => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
      await fetch("/nowhere/");
      console.error("seen");
    }""")
    visit.page.wait_for_timeout(500)

    found = "\n".join(visit.problems)
    assert visit.page.evaluate("window.ran") is None
    for trace in ("policy: script-src", "404 for GET", "console error: seen"):
        assert trace in found


@pytest.fixture
def bob(running: Look) -> User:
    """An editor of the running team."""
    return member_of(running, "bob", Role.EDITOR)


@pytest.fixture
def vera(running: Look) -> User:
    """A viewer of the running team."""
    return member_of(running, "vera", Role.VIEWER)


def member_of(look: Look, name: str, role: Role) -> User:
    user = UserFactory.create(email=f"{name}@example.com")
    MembershipFactory.create(user=user, team=look.team, role=role)
    return user


def cancel_path(look: Look) -> str:
    assert look.run is not None
    return reverse("job_cancel", args=[look.team.slug, "trainingrun", look.run.uid])


def post_from(page: Page, path: str) -> int:
    """The status of a post that the open page itself could send, with its cookies and its token."""
    script = """async (path) => {
      const token = JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
      return (await fetch(path, { method: "POST", headers: { "X-CSRFToken": token } })).status;
    }"""
    return int(page.evaluate(script, path))


def test_an_editor_cancels_a_job_after_being_asked(running: Look, bob: User, visits: Visits) -> None:
    with clean(visits()) as visit:
        visit.sign_in(bob)
        visit.open(places_of_running(running))
        page = visit.page
        page.get_by_role("button", name="Cancel job").click()
        page.locator("dialog#confirm[open]").get_by_role("button", name="Cancel job").click()

        expect(page.locator("#toasts")).to_contain_text("The job stops at its next step.")
        expect(page.locator("#training-progress")).to_contain_text("Cancelling")

    row = beside(lambda: TrainingRun.objects.get(team=running.team))
    assert (row.status, row.cancel_requested) == (JobStatus.RUNNING, True)


def test_a_viewer_sees_no_button_and_is_refused(running: Look, vera: User, visits: Visits) -> None:
    with clean(visits()) as visit:
        visit.expected[cancel_path(running)] = 403
        visit.sign_in(vera)
        visit.open(places_of_running(running))

        assert visit.page.locator("#main").get_by_role("button", name="job").count() == 0
        assert post_from(visit.page, cancel_path(running)) == 403

    assert beside(lambda: TrainingRun.objects.get(team=running.team)).cancel_requested is False


def test_a_stranger_finds_nothing(running: Look, alice: User, visits: Visits) -> None:
    places: tuple[Any, ...] = (places_of_running(running), cancel_path(running))

    with clean(visits()) as visit:
        for path in places:
            visit.expected[path] = 404
        visit.sign_in(alice)
        visit.open("/t/quiet/")
        statuses = [post_from(visit.page, places[1])]
        answer = visit.page.goto(visit.base + places[0])
        statuses.append(answer.status if answer else 0)

        assert statuses == [404, 404]
        assert running.team.name not in visit.page.content()
