"""Where a base URL that a user gives may lead."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.providers.engine.clients.base import AddressRefused
from apps.providers.engine.clients.factory import ClientSpec, client_for
from apps.providers.engine.gate import Gate, HostRefused
from apps.providers.engine.outbound import AllowedHosts, BaseUrlRefused, check_base_url, is_public
from apps.providers.tests.client_worlds import World
from apps.providers.tests.fake_openai import fake_openai

INSIDE = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "0", "10.0.0.8",
    "172.16.5.4", "192.168.1.1", "169.254.169.254", "0xa9fea9fe", "100.64.0.1", "100.100.100.200", "192.0.0.192",
    "198.18.0.1", "224.0.0.1", "255.255.255.255", "168.63.129.16",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]", "[fe80::1]", "[fe80::1%25eth0]",
    "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
    "[2001:0:7f00:1::]", "[2001:db8::1]", "[2606:4700::5efe:7f00:1]", "１２７.0.0.1", "127。0。0。1",
    "localhost", "LOCALHOST.", "db", "metadata", "metadata.google.internal", "printer.local", "x.localhost",
]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_a_host_inside_a_network_is_refused_in_every_spelling(host: str) -> None:
    for path in ("", ":8000/v1"):
        with pytest.raises(BaseUrlRefused, match="inside a network"):
            check_base_url(f"https://{host}{path}")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        (" https://API.example.com:8443/v1/ ", "https://api.example.com:8443/v1"),
        ("https://8.8.8.8/v1", "https://8.8.8.8/v1"),
        ("https://[2606:4700::1111]/", "https://[2606:4700::1111]"),
        ("https://bücher.example/v1", "https://xn--bcher-kva.example/v1"),
        ("https://[64:ff9b::808:808]/v1", "https://[64:ff9b::808:808]/v1"),
    ],
)
def test_a_public_host_is_fine(text: str, clean: str) -> None:
    assert check_base_url(text) == clean


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://api.example.com/v1", "https://"),
        ("api.example.com/v1", "https://"),
        ("ftp://api.example.com", "https://"),
        ("file:///etc/passwd", "https://"),
        ("https://api.example.com\\@127.0.0.1/", "https://"),
        ("https://api.example.com\n.evil.example/", "no spaces"),
        ("https://user:pass@api.example.com/v1", "name or password"),
        ("https://api.example.com/v1?x=1", "end with its path"),
        ("https://api.example.com/#x", "end with its path"),
        ("https:///v1", "no host"),
        ("https://%31%32%37.0.0.1/", "no host"),
        ("https://a.example:99999/", "no host"),
        ("https://[::1/", "no host"),
        ("https://" + "a" * 600, "https://"),
        ("", "https://"),
    ],
)
def test_a_base_url_that_is_none_is_refused_with_a_sentence(text: str, said: str) -> None:
    with pytest.raises(BaseUrlRefused, match=said) as caught:
        check_base_url(text)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://localhost:11434/v1", "localhost"),
        ("http://localhost:11434/v1", "localhost:11434"),
        ("http://LocalHost:11434/v1", " LOCALHOST:11434 "),
        ("http://vllm/v1", "vllm"),
        ("https://gpu.corp.internal/v1", "gpu.corp.internal"),
        ("http://10.1.2.3:8000/v1", "10.0.0.0/8"),
        ("http://10.1.2.3:8000/v1", "10.1.2.3:8000"),
        ("http://[fd00::5]:8000/v1", "[fd00::5]:8000"),
        ("http://[fd00::5]:8000/v1", "fd00::/8"),
    ],
)
def test_an_operator_allows_a_host(url: str, allowed: str) -> None:
    with pytest.raises(BaseUrlRefused):
        check_base_url(url)
    assert check_base_url(url, [allowed])


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://localhost:5432", "localhost:11434"),
        ("http://127.0.0.1:11434", "localhost"),
        ("http://10.1.2.3:8001/v1", "10.1.2.3:8000"),
        ("http://192.168.0.1/v1", "10.0.0.0/8"),
        ("https://evil.localhost/v1", "localhost"),
    ],
)
def test_what_is_allowed_is_that_host_alone(url: str, allowed: str) -> None:
    with pytest.raises(BaseUrlRefused):
        check_base_url(url, [allowed])


@pytest.mark.parametrize("entry", ["", "http://x", "a b", "10.0.0.0/40", "*"])
def test_an_entry_that_allows_nothing_is_an_error(entry: str) -> None:
    with pytest.raises(BaseUrlRefused, match="can be allowed"):
        AllowedHosts.parse([entry])


@given(st.integers(0, 2**32 - 1))
def test_no_wrapping_of_an_address_makes_it_public(number: int) -> None:
    plain = ipaddress.IPv4Address(number)
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        wrapped = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + number)
        assert is_public(wrapped) == is_public(plain)
    if not plain.is_global:
        assert not is_public(plain)


async def refused_on_the_way(base_url: str, monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Resolve the host to these addresses, whatever it is called, and expect that nobody is connected to."""

    async def resolved(_loop: Any, _host: str, port: int, **_options: Any) -> list[Any]:
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        rest = [(address, port, 0, 0) if ":" in address else (address, port) for address in addresses]
        return [(family, socket.SOCK_STREAM, 6, "", place) for family, place in zip(families, rest, strict=True)]

    async def connected(*_arguments: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", resolved)
    monkeypatch.setattr("asyncio.selector_events.BaseSelectorEventLoop.sock_connect", connected)
    client = client_for(ClientSpec("compatible", base_url))
    try:
        request = World("compatible", None).request()  # type: ignore[arg-type]
        with pytest.raises(AddressRefused, match="nothing was sent"):
            await client.generate(request)
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1",), ("::1",), ("::ffff:10.0.0.1",), ("8.8.8.8", "169.254.169.254"), ("2002:7f00:1::",)]
)
async def test_a_name_that_leads_inside_is_refused_when_it_is_called(
    addresses: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    await refused_on_the_way("https://innocent.example/v1", monkeypatch, *addresses)


async def test_a_connection_is_checked_at_its_socket_too() -> None:
    """An address written as a number is never resolved; what is connected to is still looked at."""
    gate = Gate("https://8.8.8.8/v1", ())
    gate.check("8.8.8.8", 443)
    with pytest.raises(HostRefused):
        gate.check("127.0.0.1", 443)
    async with aiohttp.ClientSession(connector=gate.connector()) as session:
        with pytest.raises(aiohttp.ClientConnectorError) as caught:
            await session.get("http://127.0.0.1:9/")
    assert isinstance(caught.value.os_error, HostRefused)


async def test_an_allowed_host_is_called_and_another_port_of_it_is_not() -> None:
    with fake_openai() as server:
        world = World("compatible", server)
        assert (await world.generate()).text
        for call in (world.generate, world.stream):
            with pytest.raises(AddressRefused, match="inside a network") as caught:
                await call(allowed_hosts=("127.0.0.1:1",))
            assert (caught.value.sent, caught.value.retryable) == (False, False)
        assert (await world.generate(allowed_hosts=(), own_address=True)).text
