"""The prompt editor in a browser: the preview follows what is typed, and a button does the same without a script."""

from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from apps.accounts.models import Team, User
from apps.experiments import rows
from apps.experiments.models import DatasetVersion
from apps.experiments.tests.world import version_of
from apps.workspace.tests.browser import Server, Visit, clean, server, visits, web_process

__all__ = ["server", "visits", "web_process"]
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Visits = Callable[..., Visit]


@pytest.fixture
def version(server: Server, team: Team, bob: User) -> DatasetVersion:
    return version_of(team, bob, count=20)


def test_the_preview_and_the_undefined_name_follow_what_is_typed(
    version: DatasetVersion, team: Team, bob: User, visits: Visits
) -> None:
    first, second = (row.input for row in rows.train_rows(version)[:2])
    with clean(visits()) as visit:
        visit.sign_in(bob)
        visit.open(reverse("prompt_new", args=[team.slug]))
        page = visit.page
        message, preview = page.get_by_label("Message 1", exact=True), page.locator("#preview")
        page.evaluate("window.loadedOnce = true")

        message.fill("Question: {{ input }}")
        expect(preview).to_contain_text(f"Question: {first}")
        expect(preview).to_contain_text("characters.")
        message.fill("")
        message.press_sequentially("Question: {{ inptu }}")
        expect(preview).to_contain_text("'inptu' is undefined. Did you mean 'input'?")
        expect(message).to_be_focused()
        message.fill("Loud: {{ input|upper }}")
        expect(preview).to_contain_text(f"Loud: {first.upper()}")
        expect(preview).not_to_contain_text("is undefined")
        page.get_by_label("Row", exact=True).fill("2")
        expect(preview).to_contain_text(f"Loud: {second.upper()}")

        assert page.evaluate("window.loadedOnce")
        assert message.input_value() == "Loud: {{ input|upper }}"


def test_without_javascript_a_button_shows_the_same(
    version: DatasetVersion, team: Team, bob: User, visits: Visits
) -> None:
    first = rows.train_rows(version)[0].input
    with clean(visits(java_script_enabled=False)) as visit:
        visit.sign_in(bob)
        visit.open(reverse("prompt_new", args=[team.slug]))
        page = visit.page
        for typed, shown in (
            ("Question: {{ input }}", f"Question: {first}"),
            ("Question: {{ inptu }}", "'inptu' is undefined. Did you mean 'input'?"),
        ):
            page.get_by_label("Message 1", exact=True).fill(typed)
            page.get_by_role("button", name="Update preview").click()
            expect(page.locator("#preview")).to_contain_text(shown)
            expect(page.get_by_label("Message 1", exact=True)).to_have_value(typed)
