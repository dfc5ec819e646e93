"""The page of the API's docs in a real browser, under the content security policy of the product."""

from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from apps.workspace.tests.browser import chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_docs_show_every_group_and_break_no_policy(live_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    told: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
        page.on("requestfailed", lambda request: told.append(request.url))
        page.on(
            "request",
            lambda request: None if request.url.startswith((live_server.url, "data:")) else told.append(request.url),
        )
        page.goto(f"{live_server.url}/api/v1/docs/")
        page.wait_for_selector("#operations-datasets-dataset_upload")
        groups = page.locator(".opblock-tag").evaluate_all("all => all.map(each => each.dataset.tag)")
        browser.close()

    assert {"datasets", "prompts", "experiments", "evaluations", "models", "fine-tune"} <= set(groups)
    assert told == []
