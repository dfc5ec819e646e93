"""What every client does when its provider fails, in every way that a server, a network or an attacker can."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import socket
import ssl
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.providers.engine.clients.base import (
    AddressRefused,
    Auth,
    BadAnswer,
    BadRequest,
    ConnectionFailed,
    ContentFilter,
    ContextTooLong,
    Overloaded,
    ProviderError,
    RateLimited,
    Timeout,
)
from apps.providers.engine.clients.factory import Provider
from apps.providers.tests.client_worlds import BEGUN, COMPLETE, WHOLE, World, pieces
from apps.providers.tests.fake_anthropic import fake_anthropic
from apps.providers.tests.fake_openai import fake_openai
from apps.providers.tests.fake_provider import KEY, FakeProvider, Reply

PROVIDERS: list[Provider] = ["compatible", "openai", "anthropic"]
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[Provider, FakeProvider]]:
    with fake_openai() as openai_server, fake_anthropic() as anthropic_server:
        yield {"compatible": openai_server, "openai": openai_server, "anthropic": anthropic_server}


@pytest.fixture(params=PROVIDERS)
def world(request: pytest.FixtureRequest, servers: dict[Provider, FakeProvider]) -> World:
    server = servers[request.param]
    server.reply = Reply()
    server.requests.clear()
    return World(request.param, server)


async def failure(world: World, *, stream: bool = False, **changes: Any) -> Any:
    with pytest.raises(ProviderError) as caught:
        await (world.stream if stream else world.generate)(**changes)
    return caught.value


async def both(world: World, **changes: Any) -> list[Any]:
    return [await failure(world, **changes), await failure(world, stream=True, **changes)]


def own_certificate(folder: Path) -> ssl.SSLContext:
    """A server's context whose certificate nobody has signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    pem.write_bytes(private + certificate.public_bytes(encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(status=400), BadRequest),
        (Reply(status=404), BadRequest),
        (Reply(status=401), Auth),
        (Reply(status=403), Auth),
        (Reply(status=402, error=("billing_error", "Pay")), Auth),
        (Reply(status=429, error=("insufficient_quota", "Pay")), Auth),
        (
            Reply(status=400, error=("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum")),
            ContextTooLong,
        ),
        (Reply(status=400, error=("context_length_exceeded", "")), ContextTooLong),
        (Reply(status=400, error=("content_policy_violation", "")), ContentFilter),
        (Reply(status=429), RateLimited),
        (Reply(status=500), Overloaded),
        (Reply(status=503, body=b"<html>busy</html>"), Overloaded),
        (Reply(status=529), Overloaded),
        (Reply(status=504), Timeout),
        (Reply(status=307, headers={"Location": "/v1/elsewhere"}, body=b""), BadAnswer),
    ],
)
async def test_each_refusal_has_its_class_whole_or_streamed(world: World, reply: Reply, kind: type) -> None:
    world.server.reply = reply
    for caught in await both(world):
        assert type(caught) is kind
        assert (caught.status, caught.sent, caught.partial) == (reply.status, True, None)
    # One attempt each: nothing is repeated, and no redirect followed.
    assert len(world.server.requests) == 2


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("2.5", 2.5), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0)],
)
async def test_the_time_to_wait_is_read(world: World, value: str, seconds: float) -> None:
    world.server.reply = Reply(status=429, headers={"Retry-After": value})
    assert [caught.retry_after for caught in await both(world)] == [seconds, seconds]


async def test_a_rejected_key_is_said_to_be_one_and_never_repeated(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = "sk-wrong-and-secret-123"
    with caplog.at_level(logging.DEBUG):
        for caught in await both(world, api_key=wrong):
            assert type(caught) is Auth
            assert "[key]" in caught.message
            assert wrong not in caught.message + repr(caught) + repr(caught.__dict__)
            assert caught.__cause__ is None
            assert caught.__context__ is None
    assert KEY not in repr(world.spec())
    assert wrong not in caplog.text
    assert world.server.requests[0].headers["authorization"] == f"Bearer {wrong}"


async def test_nothing_of_the_environment_goes_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, "from-the-environment")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Extra: from-the-environment")
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await world.generate()).text
    headers = world.server.requests[0].headers
    assert "from-the-environment" not in repr(headers)
    assert not [name for name in headers if name.startswith("x-")]


async def test_without_a_key_or_an_address_nothing_is_sent(world: World) -> None:
    if world.provider == "compatible":
        caught = await both(world, base_url="")
        assert {type(error) for error in caught} == {AddressRefused}
    else:
        caught = await both(world, api_key="")
        assert {type(error) for error in caught} == {Auth}
    for changes in ({"api_key": "abc\r\nX-Evil: 1"}, {"api_key": "schlüssel"}):
        caught += await both(world, **changes)
        assert type(caught[-1]) is Auth
        assert "Copy it again" in caught[-1].message
        assert changes["api_key"][:3] not in caught[-1].message
    caught += await both(world, base_url="ftp://x.example/", own_address=True)
    assert {error.sent for error in caught} == {False}
    assert world.server.requests == []


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_half_an_answer(world: World, then: Any) -> None:
    world.server.reply = Reply(after=40, then=then)
    caught = await failure(world)
    assert (type(caught), caught.sent, caught.retryable) == (ConnectionFailed, True, True)


@pytest.mark.parametrize(
    ("then", "kind"), [("close", ConnectionFailed), ("reset", ConnectionFailed), ("end", BadAnswer)]
)
async def test_half_a_stream_says_what_had_come(world: World, then: Any, kind: type) -> None:
    world.server.reply = Reply("One two", after=BEGUN[world.provider], then=then)
    caught = await failure(world, stream=True)
    assert (type(caught), caught.sent, caught.partial.text) == (kind, True, "One")


async def test_a_stream_that_breaks_before_its_first_word_can_be_repeated(world: World) -> None:
    world.server.reply = Reply(after=0)
    assert (await failure(world, stream=True)).partial is None


@pytest.mark.parametrize(
    ("error", "kind"), [(("overloaded_error", "Too many"), Overloaded), (("rate_limit_error", "Slower"), RateLimited)]
)
async def test_an_error_inside_a_stream(world: World, error: tuple[str, str], kind: type) -> None:
    world.server.reply = Reply("One two", after=BEGUN[world.provider], error=error, then="end")
    caught = await failure(world, stream=True)
    assert (type(caught), caught.sent, caught.retryable, caught.partial.text) == (kind, True, True, "One")
    # Not 429 or 529: the provider had begun to answer, so the attempt may have cost something.
    assert caught.status == 200
    assert error[1] in caught.message


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_stream_that_breaks_after_its_answer_was_complete_is_an_answer(world: World, then: Any) -> None:
    world.server.reply = Reply("One two", after=COMPLETE[world.provider], then=then)
    texts, _calls, result = pieces(await world.stream())
    assert (texts, result.text, result.finish_reason) == (["One", " two"], "One two", "stop")
    # In chat completions the counts come last.
    assert (result.usage is None) == (world.provider == "compatible")


async def test_a_server_that_does_not_hang_up_keeps_nobody_waiting(world: World) -> None:
    world.server.reply = Reply("One two", after=WHOLE[world.provider], then="hang")
    async with asyncio.timeout(2):
        result = pieces(await world.stream())[2]
    assert (result.text, result.usage is None) == ("One two", False)


async def test_silence_before_an_answer(world: World) -> None:
    world.server.reply = Reply(delay=5)
    for caught in await both(world, limits={"total_seconds": 0.2}):
        assert (type(caught), caught.sent, caught.partial) == (Timeout, True, None)


async def test_silence_inside_a_stream(world: World) -> None:
    world.server.reply = Reply("One two", after=BEGUN[world.provider], then="hang")
    caught = await failure(world, stream=True, limits={"silence_seconds": 0.2})
    assert (type(caught), caught.sent, caught.partial.text) == (Timeout, True, "One")
    assert "0.2 s" in caught.message


async def test_a_stream_that_drips_is_cut_off_in_the_end(world: World) -> None:
    world.server.reply = Reply("word " * 500, between=0.02)
    request = world.request(max_tokens=500)
    with pytest.raises(Timeout, match="within 0.3 s") as caught:
        await world.stream(request, limits={"total_seconds": 0.3, "silence_seconds": 5})
    assert caught.value.partial is not None
    assert caught.value.partial.text.startswith("word")


async def test_a_body_of_200_megabytes_is_dropped_early(world: World) -> None:
    world.server.reply = Reply(huge=200 * MEGABYTE)
    tracemalloc.start()
    try:
        for caught in await both(world):
            assert type(caught) is BadAnswer
            assert "larger than" in caught.message
        assert tracemalloc.get_traced_memory()[1] < 40 * MEGABYTE
    finally:
        tracemalloc.stop()


async def test_a_refusal_of_200_megabytes_is_dropped_early(world: World) -> None:
    world.server.reply = Reply(status=500, huge=200 * MEGABYTE)
    for caught in await both(world, limits={"answer_bytes": MEGABYTE}):
        assert (type(caught), caught.sent) == (BadAnswer, True)


async def test_a_text_that_goes_on_and_on_is_dropped(world: World) -> None:
    world.server.reply = Reply("word " * 200)
    with pytest.raises(BadAnswer, match="larger than 100 bytes"):
        await world.stream(world.request(max_tokens=500), limits={"answer_bytes": 100})


async def test_tools_that_are_asked_for_without_end_are_no_answer(world: World) -> None:
    world.server.reply = Reply("", tools=(("f", "{}"),) * 200)
    with pytest.raises(BadAnswer) as caught:
        await world.stream(world.request(max_tokens=500))
    assert caught.value.partial is not None
    assert len(caught.value.partial.tool_calls) == 128


async def test_nobody_listens(world: World) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        port = unused.getsockname()[1]
        refused = {"base_url": f"http://127.0.0.1:{port}/v1", "allowed_hosts": (f"127.0.0.1:{port}",)}
        for caught in await both(world, **refused):
            assert (type(caught), caught.sent, caught.retryable) == (ConnectionFailed, False, True)


async def test_a_name_that_nobody_knows(world: World) -> None:
    for caught in await both(world, base_url="https://nowhere.invalid/v1", allowed_hosts=()):
        assert (type(caught), caught.sent) == (ConnectionFailed, False)
        assert "not known" in caught.message


async def test_a_server_without_tls_or_with_a_certificate_of_its_own(world: World, tmp_path: Path) -> None:
    plain = f"https://127.0.0.1:{world.server.port}/v1"
    for caught in await both(world, base_url=plain):
        assert (type(caught), caught.sent) == (ConnectionFailed, False)
        assert "TLS" in caught.message
    tls = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0, ssl=own_certificate(tmp_path))
    async with tls:
        port = tls.sockets[0].getsockname()[1]
        own = {"base_url": f"https://127.0.0.1:{port}/v1", "allowed_hosts": ("127.0.0.1",)}
        for caught in await both(world, **own):
            assert (type(caught), caught.sent) == (ConnectionFailed, False)
            assert "certificate" in caught.message


async def test_a_name_that_points_into_the_network(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the name was fine when it was written down, and leads home when it is called."""
    port = world.server.port

    async def rebound(_loop: Any, host: str, *_more: Any, **_options: Any) -> list[Any]:
        assert host == "innocent.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", rebound)
    for caught in await both(world, base_url=f"https://innocent.example:{port}/v1", allowed_hosts=()):
        assert (type(caught), caught.sent, caught.retryable) == (AddressRefused, False, False)
        assert "innocent" not in caught.message
    assert world.server.requests == []


async def test_a_caller_that_stops_reading_drops_the_connection(world: World) -> None:
    world.server.reply = Reply("word " * 500, between=0.01)
    async with world.client() as client:
        async with contextlib.aclosing(client.stream(world.request(max_tokens=500))) as events:
            await anext(events)
        async with asyncio.timeout(5):
            while world.server.at_once:
                await asyncio.sleep(0.01)


ODD_BODIES = [
    b"", b"null", b"[]", b"{}", b"true", b'"text"', b"1e999", b"{" * 50_000, b"[" * 50_000, b"\xff\xfe\x00", b"\x00",
    b'{"choices": [{}]}', b'{"choices": [{"message": null, "finish_reason": "stop"}]}', b'{"output": 5}',
    b'{"output": [{"type": "message", "content": [{}]}], "status": "completed"}', b'{"content": [null], "usage": 3}',
    b'{"error": {"message": {"a": 1}, "code": [1]}}', b'{"error": 5}', b'{"type": "error"}',
    b"data: [DONE]\n\n", b"data: {}\n\n", b"data: null\n\n", b"data: [1]\n\ndata: [DONE]\n\n",
    b"event: error\ndata: x\n\n", b"event: message_start\ndata: {}\n\n",
    b'event: message_delta\ndata: {"type": "message_delta", "delta": null}\n\n',
    b'data: {"type": "response.completed", "response": null}\n\n', b'data: {"type": "response.output_text.delta"}\n\n',
    b'event: content_block_delta\ndata: {"type": "content_block_delta", "index": 7, "delta": '
    b'{"type": "input_json_delta", "partial_json": "x"}}\n\n',
    b'data: {"choices": [{"delta": {"tool_calls": [{"index": 9}]}}]}\n\n', b"data: " + b"[" * 50_000 + b"\n\n",
    b'data: {"error": {"code": 1e400}}\n\n', b"\xef\xbb\xbfdata: {}\r\n\r\n", b"event: ping\n\n", b": comment\n\n",
]  # fmt: skip


async def test_a_success_without_an_answer(world: World) -> None:
    world.server.reply = Reply(status=204, body=b"")
    assert {type(caught) for caught in await both(world)} == {BadAnswer}


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/html"])
async def test_no_odd_body_brings_another_error(world: World, kind: str) -> None:
    async with world.client() as client:
        for body in ODD_BODIES:
            world.server.reply = Reply(body=body, headers={"Content-Type": kind})
            with pytest.raises(ProviderError):
                await client.generate(world.request())
            with pytest.raises(ProviderError):
                [event async for event in client.stream(world.request())]


TOKENS = st.sampled_from(
    [
        b"data: ", b"event: ", b"\n\n", b"\n", b"\r\n", b"error", b"message_start", b"[DONE]", b"{", b"}",
        b'"choices":[', b"]", b'{"delta":{"content":"x"},"finish_reason":"stop"}', b'"type":"response.completed",',
        b'"response":{}', b"null", b"1",
    ]
)  # fmt: skip
BODIES = st.one_of(st.binary(max_size=200), st.lists(TOKENS, max_size=12).map(b"".join))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_any_bytes_give_an_answer_or_a_provider_error(
    servers: dict[Provider, FakeProvider], provider: Provider
) -> None:
    world = World(provider, servers[provider])

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(body=BODIES, status=st.sampled_from([200, 200, 400, 429, 500]), streamed=st.booleans())
    def holds(body: bytes, status: int, streamed: bool) -> None:
        world.server.reply = Reply(body=body, status=status, headers={"Content-Type": "text/event-stream"})
        with contextlib.suppress(ProviderError):
            asyncio.run(world.stream() if streamed else world.generate())

    holds()
