"""Answers that come in while they are written: through the whole server, in a browser, and when the reader leaves."""

import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import expect

from apps.accounts.models import Team, User
from apps.billing import selectors, services, streaming
from apps.billing.generating import forget_models
from apps.billing.models import LedgerEntry
from apps.billing.tests.provider_world import commercial_model, provider_key
from apps.core.formats import money_text
from apps.core.tests.installation import wait_for
from apps.providers.models import LanguageModel
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import FakeProvider, Reply
from apps.workspace.models import PlaygroundAnswer, PlaygroundRun
from apps.workspace.services.playground import playground_run_create
from apps.workspace.tests.browser import Server, Visit, beside, clean, visits
from llmopt.tests.gateway_server import edge_server

__all__ = ["visits"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_cache_memory")]
TEXT = "Hello there, how are you?"


@pytest.fixture
def upstream() -> Iterator[FakeProvider]:
    with fake_openai() as running:
        yield running


@pytest.fixture
def model(team: Team, upstream: FakeProvider, settings: Any) -> LanguageModel:
    forget_models()
    return commercial_model(provider_key(team, upstream, settings))


@pytest.fixture
def server(model: LanguageModel, settings: Any, tmp_path: Path) -> Iterator[Server]:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    # Whatever the database: style and scripts come from their sources.
    settings.EMBEDDED = True
    with edge_server() as running:
        yield Server(running, tmp_path)


@pytest.fixture
def run(team: Team, bob: User, model: LanguageModel) -> PlaygroundRun:
    messages = [{"role": "user", "content": "{{ input }}"}]
    candidate = {"model": "", "prompt": "", "messages": messages, "max_tokens": 16, "temperature": 1.0}
    setup = {"input": "Say hello to me", "columns": {}, "candidates": [candidate]}
    return playground_run_create(actor=bob, team=team, models=[str(model.uid)], setup=setup)


def opened(server: Server, run: PlaygroundRun, person: User) -> http.client.HTTPResponse:
    """The stream of the run's first answer, asked for as the page asks."""
    client = Client()
    client.force_login(person)
    token = "a" * 32
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    headers = {
        "Cookie": f"sessionid={client.cookies['sessionid'].value}; csrftoken={token}",
        "Content-Type": "application/x-www-form-urlencoded",
        "Origin": server.url,
    }
    address = reverse("playground_answer", args=[run.team.slug, run.uid, 1])
    connection.request("POST", address, f"csrfmiddlewaretoken={token}", headers)
    return connection.getresponse()


def contents(body: str) -> list[dict[str, str]]:
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]


def test_the_pieces_arrive_one_by_one_and_the_page_part_last(server: Server, run: PlaygroundRun, bob: User) -> None:
    answer = opened(server, run, bob)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")
    *pieces, whole = contents(answer.read().decode())
    assert len(pieces) > 3
    assert "".join(piece["text"] for piece in pieces) == TEXT
    entry, kept = LedgerEntry.objects.get(), PlaygroundAnswer.objects.get()
    assert (kept.text, kept.generation_uid, kept.cost_nanousd) == (TEXT, entry.uid, entry.amount_nanousd)
    assert TEXT in whole["html"]
    assert str(entry.uid) in whole["html"]
    assert kept.first_piece_ms is not None
    assert 0 < kept.first_piece_ms <= kept.latency_ms
    assert f"first piece after {kept.first_piece_ms:,.0f} ms" in whole["html"]
    # The top bar learns with it what is spent now.
    assert 'id="money"' in whole["html"]
    assert f"<strong>{money_text(entry.amount_nanousd)}</strong>" in whole["html"]
    # Asked for again, it is shown again as it was and costs nothing.
    assert contents(opened(server, run, bob).read().decode()) == [whole]
    assert LedgerEntry.objects.count() == 1


def test_a_reader_who_leaves_pays_for_what_was_written_and_finds_it_later(
    server: Server, run: PlaygroundRun, bob: User, upstream: FakeProvider
) -> None:
    upstream.script(Reply(between=0.02))
    answer = opened(server, run, bob)
    assert answer.readline().startswith(b"data: ")
    answer.close()
    entry = wait_for(lambda: LedgerEntry.objects.first(), what="the answer to be booked")
    assert entry.kind == "settled"
    assert "The caller left" in entry.evidence
    assert PlaygroundAnswer.objects.get().generation_uid == entry.uid
    assert selectors.held_total() == 0


def test_a_refusal_comes_as_the_part_that_says_it_and_whoever_may_only_look_spends_nothing(
    server: Server, run: PlaygroundRun, team: Team, alice: User, bob: User, vera: User, upstream: FakeProvider
) -> None:
    assert opened(server, run, vera).status == 403
    services.budget_create(actor=alice, team=team, limit_nanousd=10)
    (whole,) = contents(opened(server, run, bob).read().decode())
    assert "is spent" in whole["html"]
    assert (upstream.requests, LedgerEntry.objects.count()) == ([], 0)


@pytest.mark.browser
def test_in_a_browser_answers_grow_can_be_stopped_and_are_compared(
    server: Server,
    model: LanguageModel,
    team: Team,
    bob: User,
    upstream: FakeProvider,
    visits: Callable[..., Visit],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming, "DRAIN_SECONDS", 0.2)
    upstream.script(Reply("First answer of them"), Reply("Second " + "and on " * 200, between=0.1))
    with clean(visits()) as visit:
        visit.sign_in(bob)
        visit.open(reverse("playground", args=[team.slug]))
        page = visit.page
        for number in (0, 1):
            page.locator(f"[name='{number}-model']").select_option(str(model.uid))
        spent = page.locator("#money strong").first
        expect(spent).to_have_text(money_text(0))
        page.locator("[name='0-temperature']").fill("1")
        page.get_by_label("Text", exact=True).fill("Say hello to me")
        # Pressed twice in a row it is sent once.
        page.keyboard.press("Control+Enter")
        page.keyboard.press("Control+Enter")
        both = page.locator("[id^='answer-']")
        expect(both.filter(has_text="First answer of them").filter(has_text="Generation")).to_have_count(1)
        growing = both.filter(has_text="Second and on")
        expect(growing).to_have_count(1)
        # While the other one is still written.
        expect(spent).not_to_have_text(money_text(0))
        expect(page.locator("#money")).to_have_count(1)
        expect(page.get_by_role("button", name="Send to all")).to_be_disabled()
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(page.get_by_text("Stopped. The rest is read")).to_be_visible()
        expect(page.get_by_role("button", name="Send to all")).to_be_enabled()
        page.get_by_role("button", name="Add a candidate").click()
        expect(page.get_by_role("region", name="Candidate C")).to_be_visible()
        expect(page.get_by_text("First answer of them")).to_be_visible()
        address = reverse("playground", args=[team.slug])
        assert visit.path().startswith(address)
        assert visit.path() != address
    assert beside(lambda: wait_for(lambda: PlaygroundAnswer.objects.count() == 2, what="both answers to be kept"))
    assert (beside(PlaygroundRun.objects.count), len(upstream.requests)) == (1, 2)
    assert beside(selectors.held_total) == 0
