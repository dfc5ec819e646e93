"""Where a request that a user gave the address of may go: never into the operator's own network.

A base URL is checked twice. As text, here, when it is written down, so that a form can say what is wrong with it; and
by `Gate` when a connection is opened, on the very address that is connected to, so that a name which points elsewhere
by then (DNS rebinding) gains nothing. An operator may allow hosts; what is written for one covers that host alone.

Registries: IANA's special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from yarl import URL

from apps.core.engine.messages import EngineError, gettext_noop

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_URL_CHARACTERS = 500
#: Listed here rather than taken from `ipaddress`, whose own lists differ between Python's patch releases.
_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's host service on an address that looks public
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
#: Everything outside global unicast is refused; of it, what is reserved or carries another address inside.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "3ffe::/16")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_LOCAL_NAMES = (".localhost", ".local", ".internal", ".home.arpa", ".lan")


class BaseUrlRefused(EngineError, ValueError):
    """A base URL that is none, or that points where no request may go."""


def is_public(address: Address) -> bool:
    """Whether an address lies in the public internet, also looking through IPv6 forms that wrap an IPv4 address."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address not in _GLOBAL_V6 or any(address in network for network in _REFUSED_V6):
        return False
    # ISATAP: the last 64 bits hold 0000:5efe or 0200:5efe and an IPv4 address.
    if (int(address) >> 32) & 0xFDFFFFFF == 0x00005EFE:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return True


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """What an operator allows beyond the public internet: ``host``, ``host:port``, an address, or a network.

    A name covers every address that it resolves to; an address or a network covers every name that resolves into it.
    """

    names: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[tuple[Network, int | None], ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> AllowedHosts:
        """Read an operator's list; raises ``BaseUrlRefused`` for an entry that is none of the four forms."""
        names: set[tuple[str, int | None]] = set()
        networks: list[tuple[Network, int | None]] = []
        for entry in entries:
            host, port = _split_entry(entry.strip())
            try:
                networks.append((ipaddress.ip_network(host, strict=False), port))
            except ValueError:
                if not _NAME.fullmatch(host):
                    raise BaseUrlRefused(
                        gettext_noop("“%(entry)s” is no host, address or network that can be allowed."), entry=entry
                    ) from None
                names.add((host, port))
        return cls(frozenset(names), tuple(networks))

    def name(self, host: str, port: int) -> bool:
        """Whether the host is allowed by its name."""
        return (host, None) in self.names or (host, port) in self.names

    def address(self, address: Address, port: int) -> bool:
        """Whether the address is allowed as such."""
        return any(
            address.version == network.version and address in network and allowed in (None, port)
            for network, allowed in self.networks
        )


def check_base_url(text: str, allowed_hosts: Iterable[str] = ()) -> str:
    """The base URL as it will be used, without a slash at its end; raises ``BaseUrlRefused``.

    A name is not resolved here: where it points is looked at whenever a connection is opened.
    """
    allowed = AllowedHosts.parse(allowed_hosts)
    url = _read(text)
    host, port = host_and_port(url)
    named = allowed.name(host, port)
    address = literal_address(host)
    if address is not None:
        named = named or allowed.address(address, port)
        if not named and not is_public(address):
            raise BaseUrlRefused(
                gettext_noop(
                    "%(host)s is an address inside a network. Requests go to public addresses, unless whoever "
                    "operates this server allows the host."
                ),
                host=host,
            )
    elif not named and (host == "localhost" or "." not in host or host.endswith(_LOCAL_NAMES)):
        raise BaseUrlRefused(
            gettext_noop(
                "%(host)s is a name inside a network. Requests go to public hosts, unless whoever operates this "
                "server allows the host."
            ),
            host=host,
        )
    if url.scheme != "https" and not named:
        raise BaseUrlRefused(
            gettext_noop("The base URL must begin with https://, or the key would travel for everybody to read.")
        )
    return str(url).rstrip("/")


def literal_address(host: str) -> Address | None:
    """The address that a host spells out, in any spelling that a resolver would take; None for a name."""
    try:
        return ipaddress.ip_address(host.partition("%")[0].strip("[]"))
    except ValueError:
        pass
    try:
        # Takes decimal, octal, hexadecimal and shortened forms, as `getaddrinfo` does.
        return ipaddress.IPv4Address(socket.inet_aton(host)) if re.fullmatch(r"[0-9a-fx.]+", host) else None
    except OSError:
        return None


def host_and_port(url: URL) -> tuple[str, int]:
    """Where a request to the URL would connect to, in one spelling."""
    return (url.raw_host or "").rstrip(".").lower(), url.port or (443 if url.scheme == "https" else 80)


def _read(text: str) -> URL:
    text = text.strip()
    if not re.fullmatch(r"https?://[^\s\\\x00-\x1f\x7f]+", text, re.IGNORECASE) or len(text) > MOST_URL_CHARACTERS:
        raise BaseUrlRefused(
            gettext_noop("The base URL must begin with https:// and have no spaces, like https://example.com/v1.")
        )
    try:
        url = URL(text)
        _port = url.port
    except ValueError:
        url = URL()
    host = host_and_port(url)[0]
    if not (_NAME.fullmatch(host) or literal_address(host)):
        raise BaseUrlRefused(gettext_noop("The base URL has no host that can be read."))
    if url.raw_user is not None or url.raw_password is not None:
        raise BaseUrlRefused(gettext_noop("The base URL must not hold a name or password; the key has its own field."))
    if "?" in text or "#" in text:
        raise BaseUrlRefused(gettext_noop("The base URL must end with its path: no “?”, no “#”, nothing after them."))
    return url


def _split_entry(entry: str) -> tuple[str, int | None]:
    entry = entry.lower().rstrip(".")
    match = re.fullmatch(r"\[([^\]]+)\](?::(\d{1,5}))?|([^:]+):(\d{1,5})", entry)
    if match is None:
        return entry, None
    host, port = match[1] or match[3], match[2] or match[4]
    return host, int(port) if port else None
