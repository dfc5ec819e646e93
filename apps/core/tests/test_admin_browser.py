"""The operators' pages in a real Chromium: the theme works under the admin's own content security policy."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Page, sync_playwright

from apps.accounts.models import User
from apps.core.models import JobStatus
from apps.core.tests.factories import EvaluationFactory, MembershipFactory, UserFactory
from apps.workspace.tests.browser import chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PAGES = (
    "/admin/",
    "/admin/evaluation/evaluation/",
    "/admin/accounts/user/",
    "/admin/accounts/user/add/",
    "/admin/accounts/membership/add/",
    "/admin/core/auditevent/?q=a",
)


@pytest.fixture
def operator(transactional_db: None) -> User:
    return UserFactory.create(email="olga@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def admin(operator: User, live_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    # Playwright's synchronous interface runs a loop in this thread, which Django would take for asynchronous code.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    client = Client()
    client.force_login(operator)
    session = client.cookies["sessionid"].value
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        context = browser.new_context()
        context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        yield context.new_page()
        browser.close()


def test_no_page_of_the_admin_breaks_its_policy_or_misses_a_file(admin: Page, live_server: Any, operator: User) -> None:
    MembershipFactory.create()
    job = EvaluationFactory.create(status=JobStatus.FAILED)
    complaints: list[str] = []
    admin.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    admin.on("pageerror", lambda error: complaints.append(str(error)))
    admin.on("response", lambda answer: complaints.append(answer.url) if answer.status >= 400 else None)

    for path in (
        *PAGES,
        f"/admin/evaluation/evaluation/{job.pk}/change/",
        f"/admin/accounts/user/{operator.pk}/change/",
    ):
        admin.goto(live_server.url + path)
        admin.wait_for_load_state("networkidle")
        assert admin.title()
        assert complaints == [], path


def test_the_policy_of_the_admin_is_enforced(admin: Page, live_server: Any) -> None:
    admin.goto(f"{live_server.url}/admin/")

    ran = admin.evaluate(
        "() => { const script = document.createElement('script'); script.textContent = 'window.ran = true';"
        " document.body.append(script); return window.ran === true }"
    )

    assert ran is False
