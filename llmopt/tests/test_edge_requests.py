"""What every request meets before anything reads it: host, id, limits, log, metrics."""

import asyncio
import logging

import pytest
from django.db import OperationalError

from apps.billing.usage_reading import LedgerTotals
from llmopt.edge.asgi_types import Application, Message, Receive, Scope, Send, respond
from llmopt.edge.limits import Limits, limited
from llmopt.edge.pages import SMALL_BODY_BYTES, Pages
from llmopt.edge.routes import path_for_log, route_class
from llmopt.edge.stack import Edge, build
from llmopt.tests.asgi_client import HOST, call, scope_of

pytestmark = pytest.mark.asyncio
SMALL = Limits(body_bytes=1000, body_gap_seconds=0.1)


class Echo:
    """Stands where Django stands: reads the body and answers with its length."""

    def __init__(self) -> None:
        self.scope: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, total, more = scope, 0, True
        while more:
            message = await receive()
            total += len(message["body"])
            more = message["more_body"]
        await respond(send, 200, str(total).encode())


def edge_with(django: object, limits: Limits = SMALL) -> Edge:
    return build(django, limits=limits)  # type: ignore[arg-type]  # any callable of ASGI's shape


async def test_a_page_passes_through_with_its_body() -> None:
    answer = await call(edge_with(Echo()), "/anything/", method="POST", body=[b"12345", b"67"])
    assert (answer.status, answer.text) == (200, "7")


@pytest.mark.parametrize(
    "headers", [[(b"host", b"evil.example")], [], [HOST, (b"host", b"evil.example")], [(b"host", b"")]]
)
async def test_a_host_that_is_not_ours_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    answer = await call(edge_with(Echo()), "/", headers=headers)
    assert answer.status == 400
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_probe_needs_no_host() -> None:
    answer = await call(edge_with(Echo()), "/healthz", headers=[(b"host", b"10.0.0.7:8000")])
    assert (answer.status, answer.text) == (200, '{"status": "ok"}')


async def test_a_body_that_says_it_is_too_long_is_refused_unread() -> None:
    django = Echo()
    headers = [HOST, (b"content-length", b"1001")]
    answer = await call(edge_with(django), "/", method="POST", headers=headers, body=[b"x"])
    assert answer.status == 413
    assert answer.headers["connection"] == "close"
    assert django.scope == {}


async def test_a_body_that_turns_out_too_long_is_refused() -> None:
    answer = await call(edge_with(Echo()), "/", method="POST", body=[b"x" * 600, b"x" * 600])
    assert answer.status == 413


async def test_a_body_of_exactly_the_limit_is_accepted() -> None:
    answer = await call(edge_with(Echo()), "/", method="POST", body=[b"x" * 500, b"x" * 500])
    assert (answer.status, answer.text) == (200, "1000")


@pytest.mark.parametrize(
    ("path", "cookie", "status"),
    [
        ("/t/ours/models/add/", b"sessionid=member", 200),
        ("/t/ours/models/add/", b"sessionid=stranger", 413),
        ("/t/theirs/models/add/", b"sessionid=member", 413),
        ("/t/ours/datasets/add/", b"sessionid=member", 413),
    ],
)
async def test_only_a_member_who_sends_a_model_may_send_more(path: str, cookie: bytes, status: int) -> None:
    async def member(cookies: str, team_slug: str) -> bool:
        return (cookies, team_slug) == ("sessionid=member", "ours")

    app = limited(Echo(), Limits(body_bytes=1000, model_bytes=3000), member)
    headers = [HOST, (b"cookie", cookie), (b"content-length", b"2000")]
    answer = await call(app, path, method="POST", headers=headers, body=[b"x" * 1000] * 2)
    assert answer.status == status


async def test_a_model_that_turns_out_larger_than_it_said_is_refused() -> None:
    async def member(cookies: str, team_slug: str) -> bool:
        return True

    app = limited(Echo(), Limits(body_bytes=1000, model_bytes=3000), member)
    headers = [HOST, (b"content-length", b"2000")]
    answer = await call(app, "/t/ours/models/add/", method="POST", headers=headers, body=[b"x" * 1000] * 4)
    assert answer.status == 413


async def test_a_body_that_stops_coming_is_given_up() -> None:
    messages: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(5)
        raise AssertionError("nobody waits that long")

    async def send(message: Message) -> None:
        messages.append(message)

    await edge_with(Echo())(scope_of("/", method="POST"), receive, send)
    assert messages[0]["status"] == 408


def coming(parts: list[bytes], every: float) -> Receive:
    """A body of which a part comes from time to time."""

    async def receive() -> Message:
        await asyncio.sleep(every)
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    return receive


async def status_of(app: Application, receive: Receive) -> int:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope_of("/", method="POST"), receive, send)
    return int(messages[0]["status"])


async def test_a_body_that_only_trickles_is_given_up_and_a_slow_one_is_not() -> None:
    limits = Limits(body_gap_seconds=5, body_grace_seconds=0.2, body_bytes_per_second=1000)
    assert await status_of(edge_with(Echo(), limits), coming([b"x"] * 100, every=0.02)) == 408
    assert await status_of(edge_with(Echo(), limits), coming([b"x" * 100] * 20, every=0.02)) == 200


async def test_a_file_on_a_slow_line_may_take_longer_than_a_page_and_keeps_nobody_from_theirs() -> None:
    pages = Pages(Echo(), at_once=1, seconds=0.05)
    sending = asyncio.create_task(status_of(pages, coming([b"x" * 1000] * 10, every=0.03)))
    await asyncio.sleep(0.1)
    assert (await call(pages, "/")).status == 200
    assert not sending.done()
    assert await sending == 200


async def test_no_more_large_bodies_arrive_side_by_side_than_allowed() -> None:
    pages = Pages(Echo(), bodies_at_once=1)
    last = asyncio.Event()

    async def held() -> Message:
        await last.wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    def large(then: Receive) -> Receive:
        first = [{"type": "http.request", "body": b"x" * (SMALL_BODY_BYTES + 1), "more_body": True}]
        return lambda: asyncio.sleep(0, first.pop()) if first else then()

    one = asyncio.create_task(status_of(pages, large(held)))
    await asyncio.sleep(0.01)
    two = asyncio.create_task(status_of(pages, large(coming([b"x"], every=0))))
    small = await status_of(pages, coming([b"x"] * 3, every=0))
    await asyncio.sleep(0.05)
    assert (small, one.done(), two.done()) == (200, False, False)
    last.set()
    assert await asyncio.wait_for(asyncio.gather(one, two), 5) == [200, 200]


async def test_too_many_headers_and_too_long_addresses_are_refused() -> None:
    many = [HOST, *((b"x-a", b"b") for _ in range(100))]
    assert (await call(edge_with(Echo()), "/", headers=many)).status == 431
    assert (await call(edge_with(Echo()), "/", headers=[HOST, (b"cookie", b"x" * 40_000)])).status == 431
    assert (await call(edge_with(Echo()), "/" + "a" * 9000)).status == 414


@pytest.mark.parametrize(("given", "kept"), [(b"trace-12345678", True), (b"x", False), (b"bad\nline-injected", False)])
async def test_only_a_sane_request_id_is_kept_and_django_sees_the_same(given: bytes, kept: bool) -> None:
    django = Echo()
    answer = await call(edge_with(django), "/", headers=[HOST, (b"x-request-id", given)])
    seen = [value for key, value in django.scope["headers"] if key == b"x-request-id"]
    assert seen == [answer.headers["x-request-id"].encode()]
    assert (seen[0] == given) is kept


async def test_the_access_log_has_neither_query_nor_sign_in_token(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="llmopt.access"):
        await call(edge_with(Echo()), "/sign-in/s3cr3t-t0ken/?next=/also-secret/")
    (record,) = [record for record in caplog.records if record.name == "llmopt.access"]
    assert vars(record)["path"] == "/sign-in/…"
    assert vars(record)["status"] == 200
    assert "s3cr3t" not in str(vars(record))
    assert "also-secret" not in str(vars(record))


async def test_a_failure_below_is_answered_with_a_reference_that_the_log_has(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("secret detail")

    answer = await call(edge_with(broken), "/")
    assert answer.status == 500
    assert answer.headers["x-request-id"] in answer.text
    assert "secret detail" not in answer.text
    assert any(vars(record).get("request_id") == answer.headers["x-request-id"] for record in caplog.records)


# The database's thread, which metrics ask, may still hold a connection of an earlier test.
@pytest.mark.django_db(transaction=True)
async def test_metrics_count_requests_and_are_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    totals = LedgerTotals(1_500_000_000, 250_000_000, 10, hits=3, misses=9, unknown=2)
    monkeypatch.setattr("llmopt.edge.ledger_metrics.ledger_totals", lambda: totals)
    edge = edge_with(Echo())
    await call(edge, "/anything/", method="BREW")
    answer = await call(edge, "/metrics")
    assert answer.status == 200
    assert 'llmopt_http_requests_total{method="other",route="page",status="200"}' in answer.text
    lines = ["llmopt_cache_hits_total 3.0", "llmopt_cache_misses_total 9.0", "llmopt_saved_usd_total 0.25"]
    lines += ["llmopt_spent_usd 1.5", "llmopt_held_usd 1e-08", "llmopt_unknown_attempts 2.0"]
    assert [line for line in [*lines, "llmopt_ledger_readable 1.0"] if line not in answer.text.splitlines()] == []
    assert (await call(edge, "/metrics", client=("10.1.2.3", 1))).status == 403
    assert (await call(edge, "/metrics", headers=[HOST, (b"x-forwarded-for", b"10.1.2.3")])).status == 403
    monkeypatch.setenv("LLMOPT_METRICS_TOKEN", "scraper")
    assert (await call(edge, "/metrics")).status == 403
    bearer = [HOST, (b"authorization", b"Bearer scraper")]
    assert (await call(edge, "/metrics", headers=bearer, client=("10.1.2.3", 1))).status == 200


# The database's thread, which metrics ask, may still hold a connection of an earlier test.
@pytest.mark.django_db(transaction=True)
async def test_metrics_of_requests_are_there_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> LedgerTotals:
        raise OperationalError("no connection")

    monkeypatch.setattr("llmopt.edge.ledger_metrics.ledger_totals", away)
    answer = await call(edge_with(Echo()), "/metrics")
    assert answer.status == 200
    assert "llmopt_ledger_readable 0.0" in answer.text
    assert "llmopt_http_requests" in answer.text
    assert "llmopt_spent_usd" not in answer.text


async def test_a_page_that_takes_too_long_is_answered_and_finishes_unheard() -> None:
    finished = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.2)
        await respond(send, 200, b"late")
        finished.set()

    answer = await call(Pages(slow, seconds=0.05), "/")
    assert answer.status == 503
    await asyncio.wait_for(finished.wait(), 5)
    assert b"late" not in answer.body


async def test_no_more_pages_run_at_once_than_allowed() -> None:
    running, most = 0, 0

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        await respond(send, 200, b"ok")

    pages = Pages(counting, at_once=3)
    answers = await asyncio.gather(*(call(pages, "/") for _ in range(10)))
    assert [answer.status for answer in answers] == [200] * 10
    assert most == 3


async def test_a_reader_who_leaves_a_stream_is_noticed_and_a_stream_keeps_no_place_among_the_pages() -> None:
    told, left = asyncio.Event(), asyncio.Event()

    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if scope["path"] != "/stream":
            await respond(send, 200, b"ok")
            return
        listening = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not listening.done()
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        assert (await listening)["type"] == "http.disconnect"
        told.set()

    parts: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not parts:
            await left.wait()
            return {"type": "http.disconnect"}
        return parts.pop()

    started = asyncio.Event()

    async def send(message: Message) -> None:
        started.set()

    pages = Pages(streaming, at_once=1)
    stream = asyncio.create_task(pages(scope_of("/stream"), receive, send))
    await asyncio.wait_for(started.wait(), 5)
    assert (await asyncio.wait_for(call(pages, "/"), 5)).status == 200
    assert not told.is_set()
    left.set()
    await asyncio.wait_for(stream, 5)
    assert told.is_set()


@pytest.mark.parametrize(
    ("path", "name"),
    [("/static/a.css", "static"), ("/t/acme/events/", "events"), ("/t/acme/eventsx/", "page"), ("/api/v1/x", "api")],
)
async def test_routes_have_few_names(path: str, name: str) -> None:
    assert route_class(path) == name


async def test_an_ordinary_path_is_logged_as_it_is() -> None:
    assert path_for_log("/t/acme/experiments/") == "/t/acme/experiments/"
