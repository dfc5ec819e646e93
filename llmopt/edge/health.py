"""`/healthz`: this process answers. `/readyz`: everything that it needs answers too."""

import asyncio
import time
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from apps.core import health
from llmopt.edge.asgi_types import Receive, Scope, Send, respond_json

# Probes come often and from anywhere; the checks cost several queries.
_REMEMBER_SECONDS = 1.0
_LIMIT_SECONDS = 10.0


async def healthz(scope: Scope, receive: Receive, send: Send) -> None:
    await respond_json(send, 200, {"status": "ok"})


@dataclass
class Readiness:
    """Runs the checks one at a time in a thread, and answers from memory in between."""

    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _checks: list[health.Check] = field(default_factory=list)
    _at: float = float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._lock:
            if time.monotonic() - self._at > _REMEMBER_SECONDS:
                self._checks = await _checked()
                self._at = time.monotonic()
        ready = all(check.ok for check in self._checks)
        content = {
            "ready": ready,
            "checks": {check.name: {"ok": check.ok, "detail": check.detail} for check in self._checks},
        }
        await respond_json(send, 200 if ready else 503, content)


async def _checked() -> list[health.Check]:
    try:
        return await asyncio.wait_for(asyncio.to_thread(health.readiness_in_thread), _LIMIT_SECONDS)
    except TimeoutError:
        return [health.Check("checks", False, _("no answer within %(seconds)d s") % {"seconds": _LIMIT_SECONDS})]
