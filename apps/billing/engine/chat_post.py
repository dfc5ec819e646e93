"""A message to a chat's incoming webhook through apprise, with every connection looked at before it is made.

apprise sends with a library of its own that cannot be given a connector. So that a name which points elsewhere by then
(DNS rebinding), or anything else that resolves late, gains nothing, Python itself is asked to tell of each connection
that this thread begins (`sys.addaudithook`), and one to an address that is not allowed fails.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from yarl import URL

from apps.billing.engine.webhook_address import SLACK_HOSTS, ConnectionNotAllowed, NotAccepted
from apps.core.engine.messages import gettext_noop
from apps.providers.engine.gate import Gate, HostRefused


@dataclass
class _Watch:
    gate: Gate
    refused: list[str] = field(default_factory=list)


_watch: ContextVar[_Watch | None] = ContextVar("watch of connections", default=None)
_hooked: list[bool] = []


def _on_event(event: str, details: tuple[Any, ...]) -> None:
    if event != "socket.connect":
        return
    watch = _watch.get()
    if watch is None:
        return
    address = details[1]
    try:
        if not isinstance(address, tuple):
            raise HostRefused("no address of the internet")
        watch.gate.check(str(address[0]), int(address[1]))
    except HostRefused:
        watch.refused.append(str(address))
        raise


@contextmanager
def _watched(gate: Gate) -> Iterator[_Watch]:
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_on_event)
    watch = _Watch(gate)
    token = _watch.set(watch)
    try:
        yield watch
    finally:
        _watch.reset(token)


class _Said(logging.Handler):
    """The warnings of one thread's message."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if _watch.get() is not None:
            self.lines.append(record.getMessage())


def service_for(url: str) -> Any | None:
    """apprise's sender for a webhook's URL; None where Slack would not take it. Nothing is sent."""
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(app_id="LLMOpt", http_redirects=False)
    target = URL(url)
    if target.host in SLACK_HOSTS:
        return Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    # What Slack takes is what Mattermost, Rocket.Chat and the others take as well: JSON with the words as `text`.
    only_text = {"message": "text", "title": "", "version": "", "attachments": "", "type": ""}
    return Apprise.instantiate(
        {
            "schema": "jsons" if target.scheme == "https" else "json",
            "host": f"[{target.raw_host}]" if ":" in (target.raw_host or "") else target.raw_host,
            "port": target.port,
            "fullpath": target.raw_path,
            "payload": only_text,
            "params": dict(target.query),
        },
        asset=asset,
        suppress_exceptions=True,
    )


def _through_a_proxy(url: str) -> bool:
    """Whether the library that sends would ask a proxy, behind which nobody sees where a connection goes."""
    from requests.utils import get_environ_proxies

    return URL(url).scheme in get_environ_proxies(url)


def post(url: str, text: str, allowed_hosts: list[str]) -> None:
    """Send `text` to the webhook. NotAccepted; ConnectionNotAllowed; BaseUrlRefused for an address that is none."""
    service = service_for(url)
    if service is None:
        raise NotAccepted(gettext_noop("The address is not that of an incoming webhook."))
    if _through_a_proxy(url):
        raise NotAccepted(
            gettext_noop(
                "The environment of this server names a proxy, behind which nobody sees where a message goes. Its "
                "operator names the host in NO_PROXY."
            )
        )
    gate, said, logger = Gate(str(URL(url).origin()), allowed_hosts), _Said(), logging.getLogger("apprise")
    logger.addHandler(said)
    try:
        with _watched(gate) as watch:
            arrived = service.notify(body=text, title="")
    except Exception as error:
        # Without its words: they may hold the address.
        raise NotAccepted(gettext_noop("The connection broke: %(why)s."), why=type(error).__name__) from None
    finally:
        logger.removeHandler(said)
    if watch.refused:
        raise ConnectionNotAllowed
    if not arrived:
        raise NotAccepted(gettext_noop("The message was not accepted: %(why)s"), why=" ".join(said.lines) or "–")
