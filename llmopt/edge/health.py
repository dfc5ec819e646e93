"""`/healthz`: this process answers. `/readyz`: everything that it needs answers too."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from apps.core import health, readiness
from llmopt.edge.asgi_types import Receive, Scope, Send, respond_json


async def healthz(scope: Scope, receive: Receive, send: Send) -> None:
    await respond_json(send, 200, {"status": "ok"})


@dataclass
class Readiness:
    """Asks in a thread of its own: checks that hang must not take those which static files and metrics need."""

    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="readiness"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        checks = await self._checks()
        ready = all(check.ok for check in checks)
        content = {"ready": ready, "checks": {check.name: {"ok": check.ok, "detail": check.detail} for check in checks}}
        await respond_json(send, 200 if ready else 503, content)

    async def _checks(self) -> list[health.Check]:
        asked = asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: readiness.remembered(health.readiness_in_thread)
        )
        try:
            return await asyncio.wait_for(asked, readiness.LIMIT_SECONDS)
        except TimeoutError:
            return readiness.no_answer()
