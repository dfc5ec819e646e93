"""One POST to an address that a user gave: looked at when it is connected to, no redirect followed, no answer read."""

import asyncio

import aiohttp
from yarl import URL

from apps.billing.engine.webhook_address import ConnectionNotAllowed, NotAccepted
from apps.core.engine.messages import gettext_noop
from apps.providers.engine.gate import Gate, HostRefused

CONNECT_SECONDS, TOTAL_SECONDS = 5.0, 10.0


def post(url: str, body: bytes, headers: dict[str, str], allowed_hosts: list[str]) -> None:
    """Send `body` as JSON. NotAccepted unless the answer's status is 2xx; ConnectionNotAllowed; BaseUrlRefused."""
    try:
        status = asyncio.run(_post(url, body, headers, allowed_hosts))
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, HostRefused):
            raise ConnectionNotAllowed from error
        why = error.os_error.strerror or type(error.os_error).__name__
        raise NotAccepted(gettext_noop("No connection to the address: %(why)s."), why=why) from error
    except TimeoutError as error:
        raise NotAccepted(gettext_noop("No answer came within %(seconds)d seconds."), seconds=TOTAL_SECONDS) from error
    except aiohttp.ClientError as error:
        raise NotAccepted(gettext_noop("The connection broke: %(why)s."), why=type(error).__name__) from error
    if 300 <= status < 400:
        raise NotAccepted(gettext_noop("The answer was %(status)d, a redirect, which is not followed."), status=status)
    if not 200 <= status < 300:
        raise NotAccepted(gettext_noop("The message was not accepted: the answer was %(status)d."), status=status)


async def _post(url: str, body: bytes, headers: dict[str, str], allowed_hosts: list[str]) -> int:
    gate = Gate(str(URL(url).origin()), allowed_hosts)
    timeout = aiohttp.ClientTimeout(total=TOTAL_SECONDS, connect=CONNECT_SECONDS)
    sent = {"Content-Type": "application/json", "User-Agent": "LLMOpt", **headers}
    async with (
        aiohttp.ClientSession(connector=gate.connector(), timeout=timeout) as session,
        session.post(URL(url, encoded=True), data=body, headers=sent, allow_redirects=False) as answer,
    ):
        return answer.status
