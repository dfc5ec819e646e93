"""Sending a file in a browser: chosen or dropped, with its progress, with errors that keep it, and without scripts."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from apps.accounts.models import Team, User
from apps.core.roles import Role
from apps.core.tests.factories import MembershipFactory, TeamFactory, UserFactory
from apps.experiments.models import Upload
from apps.experiments.tasks import upload_inspect
from apps.experiments.tests.upload_world import CSV
from apps.workspace.tests.browser import Server, Visit, beside, clean, server, visits, web_process

__all__ = ["server", "visits", "web_process"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Visits = Callable[..., Visit]
FILE: Any = {"name": "mail.csv", "mimeType": "text/csv", "buffer": CSV.encode()}
PAGE = "/t/quiet/datasets/new/"
WARNS = """() => {
  const leaving = new Event("beforeunload", { cancelable: true });
  window.dispatchEvent(leaving);
  return leaving.defaultPrevented;
}"""
DROP = """([name, text]) => {
  const dropped = new DataTransfer();
  dropped.items.add(new File([text], name, { type: "text/csv" }));
  for (const kind of ["dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: dropped, bubbles: true, cancelable: true }));
}"""


@pytest.fixture
def team(server: Server, settings: Any) -> Team:
    # This process does the worker's part, in the server's folder.
    settings.VAR_DIR = server.artifacts.parent
    made: Team = TeamFactory.create(slug="quiet")
    return made


@pytest.fixture
def bob(team: Team) -> User:
    user: User = UserFactory.create(email="bob@example.com")
    MembershipFactory.create(user=user, team=team, role=Role.EDITOR)
    return user


def opened(visit: Visit, bob: User) -> Page:
    visit.sign_in(bob)
    visit.open(PAGE)
    return visit.page


def chosen(page: Page) -> list[str]:
    return list(page.evaluate("() => [...document.querySelector('input[type=file]').files].map((file) => file.name)"))


def looked_at() -> None:
    """What the worker does with the file that has arrived."""
    beside(lambda: upload_inspect(Upload.objects.latest("id").pk))


def sent(page: Page) -> None:
    page.get_by_role("button", name="Upload file").click()
    page.wait_for_url("**/t/quiet/uploads/*/")


def test_a_chosen_file_is_sent_with_its_progress_and_its_columns_are_asked_for(bob: User, visits: Visits) -> None:
    with clean(visits()) as visit:
        page = opened(visit, bob)
        assert page.evaluate(WARNS) is False
        page.set_input_files("input[type=file]", {**FILE, "buffer": b"text,label\n" + b"some words,praise\n" * 60_000})
        slow = page.context.new_cdp_session(page)
        slow.send("Network.enable")
        limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 300_000}
        slow.send("Network.emulateNetworkConditions", limits)
        page.get_by_role("button", name="Upload file").click()

        state = page.locator("[data-upload-state]")
        expect(state).to_contain_text("Stay on this page until the file is sent")
        expect(page.get_by_role("button", name="Upload file")).to_be_disabled()
        assert page.evaluate(WARNS) is True
        page.wait_for_function("() => document.querySelector('[data-upload-state] progress')?.value > 0")
        slow.send("Network.emulateNetworkConditions", {**limits, "uploadThroughput": -1})
        page.wait_for_url("**/t/quiet/uploads/*/")
        expect(page.locator("#main")).to_contain_text("You can leave this page")
        assert page.evaluate(WARNS) is False


def test_a_dropped_file_leads_to_five_examples_that_follow_the_chosen_columns(bob: User, visits: Visits) -> None:
    with clean(visits()) as visit:
        page = opened(visit, bob)
        page.evaluate(DROP, ["mail.csv", CSV])
        assert chosen(page) == ["mail.csv"]
        sent(page)
        looked_at()

        rows = page.locator("#upload-examples tbody tr")
        expect(rows).to_have_count(5)
        expect(rows.first.locator("td").first).to_contain_text("message number 0 about refund")
        page.evaluate("window.same = true")
        page.get_by_label("Input").select_option("customer")
        expect(rows.first.locator("td").first).to_have_text("c0")
        expect(rows).to_have_count(5)
        assert page.evaluate("window.same") is True

        page.get_by_label("Input").select_option("text")
        page.get_by_role("button", name="Check every row").click()
        page.wait_for_url("**/t/quiet/imports/*/")
        expect(page.locator("#main")).to_contain_text("You can leave this page")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": 413, "body": "<h1>Too large</h1>"}, "Split it, or send fewer rows."),
        ({"status": 503, "body": ""}, "The server could not take the file and answered 503. Send it again"),
        ({"status": 403, "body": ""}, "Open this page again and choose the file once more."),
        ({"status": 422, "body": '{"error": "This is no file."}'}, "This is no file."),
        (None, "Check the connection and send it again."),
    ],
)
def test_an_error_keeps_the_file_and_says_what_to_do(
    bob: User, visits: Visits, answer: dict[str, Any] | None, said: str
) -> None:
    visit = visits()
    page = opened(visit, bob)
    page.route(f"**{PAGE}", lambda route: route.fulfill(**answer) if answer else route.abort("connectionreset"))
    page.set_input_files("input[type=file]", FILE)
    page.get_by_role("button", name="Upload file").click()

    state = page.locator("[data-upload-state]")
    expect(state).to_contain_text(said)
    expect(state).to_contain_text("The file is still chosen here; nothing was imported.")
    assert chosen(page) == ["mail.csv"]
    assert page.evaluate(WARNS) is False
    page.unroute(f"**{PAGE}")
    sent(page)


def test_a_file_that_is_too_large_is_not_sent_and_one_of_another_kind_is_refused_with_what_to_do(
    bob: User, visits: Visits
) -> None:
    with clean(visits()) as visit:
        page = opened(visit, bob)
        page.set_input_files("input[type=file]", FILE)
        page.evaluate("document.querySelector('form[data-upload]').dataset.maxBytes = '10'")
        page.get_by_role("button", name="Upload file").click()
        expect(page.locator("[data-upload-state]")).to_contain_text("Split it, or send fewer rows.")
        assert not beside(Upload.objects.exists)

        visit.open(PAGE)
        page.set_input_files("input[type=file]", {**FILE, "buffer": b"\x89PNG\r\n\x1a\n" + bytes(200)})
        sent(page)
        looked_at()
        expect(page.get_by_role("link", name="Upload another file")).to_be_visible()
        expect(page.locator("#main [role=alert]")).to_contain_text("CSV")


def test_without_javascript_the_same_file_goes_the_same_way(bob: User, visits: Visits) -> None:
    with clean(visits(java_script_enabled=False)) as visit:
        page = opened(visit, bob)
        page.set_input_files("input[type=file]", FILE)
        sent(page)
        looked_at()
        page.reload()
        expect(page.locator("#upload-examples tbody tr")).to_have_count(5)
        page.get_by_role("button", name="Check every row").click()
        page.wait_for_url("**/t/quiet/imports/*/")
