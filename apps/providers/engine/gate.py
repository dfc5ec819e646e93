"""The check of an address at the moment when it is connected to. Apart from `outbound`, because aiohttp is large."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from apps.providers.engine.outbound import AllowedHosts, check_base_url, host_and_port, is_public, literal_address


class HostRefused(OSError):
    """A connection would have gone to an address that is not allowed."""


class Gate:
    """Lets connections to one base URL through, or refuses them, by the address that they go to."""

    def __init__(self, base_url: str, allowed_hosts: Iterable[str]) -> None:
        self.url = check_base_url(base_url, allowed_hosts)
        self._allowed = AllowedHosts.parse(allowed_hosts)
        self._host, self._port = host_and_port(URL(self.url))
        self._named = self._allowed.name(self._host, self._port)

    def connector(self, **options: Any) -> aiohttp.TCPConnector:
        """A connector for this base URL alone. It must be made inside the event loop that uses it."""
        return aiohttp.TCPConnector(resolver=_CheckedResolver(self), socket_factory=self._socket, **options)

    def check(self, host: str, port: int) -> None:
        """Raise ``HostRefused`` when a connection to this address is not allowed."""
        address = literal_address(host)
        if self._named and port == self._port:
            return
        if address is None or not (is_public(address) or self._allowed.address(address, port)):
            raise HostRefused(f"{host} is not allowed")

    def _socket(self, info: Any) -> socket.socket:
        """The last look, at what is connected to; nothing that resolves or is written otherwise comes past it."""
        family, kind, protocol, _name, address = info
        self.check(address[0], address[1])
        return socket.socket(family=family, type=kind, proto=protocol)


class _CheckedResolver(AbstractResolver):
    """Resolves as usual, and refuses a name of which any address is refused."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            self._gate.check(result["host"], port)
        return found

    async def close(self) -> None:
        await self._resolver.close()
