"""What has to be done every few seconds somewhere: recover jobs, seal the audit chain, sweep, forget.

One instance ticks at a time, wherever it runs: it holds a lease, a row that it renews with every tick.
"""

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import close_old_connections
from django.db.models import Q
from django.utils import timezone
from django.utils.module_loading import import_string

from apps.core.models import Canary
from apps.core.processes import stopping

log = logging.getLogger(__name__)

TICK_SECONDS = 2.0
# Shorter than the time limit of a task; the ticker then queues its own continuation.
SLICE_SECONDS = 58.0
LEASE_SECONDS = 10.0
SAME_FAILURE_SECONDS = 60.0
DAY_SECONDS = 24 * 3600.0
LEASE = "housekeeping-ticker"


@dataclass
class Part:
    """One thing to do, by dotted name: an app above core registers its own without being imported here."""

    name: str
    dotted: str
    every_seconds: float
    last_run: float = float("-inf")
    last_error: str = ""
    last_logged: float = float("-inf")


_parts: dict[str, Part] = {}


def register_housekeeping(name: str, dotted: str, *, every_seconds: float = TICK_SECONDS) -> None:
    """Have the function at `dotted` called about every `every_seconds`. It replaces an earlier part called `name`."""
    _parts[name] = Part(name, dotted, every_seconds)


def registered() -> dict[str, str]:
    """Dotted name by name."""
    return {part.name: part.dotted for part in _parts.values()}


register_housekeeping("jobs", "apps.core.jobs.reap")
register_housekeeping("audit", "apps.core.audit.seal_pending")
register_housekeeping("live events", "apps.core.live.forget_old", every_seconds=60.0)
register_housekeeping("answers", "apps.core.idempotency.forget_old", every_seconds=3600.0)
register_housekeeping("old rows", "apps.core.forget.forget_daily", every_seconds=DAY_SECONDS)


def tick(now: float) -> list[str]:
    """Run each part that is due at `now` (seconds of any steady clock). Returns the names of the parts that failed."""
    failed = []
    for part in _parts.values():
        if now - part.last_run < part.every_seconds:
            continue
        part.last_run = now
        try:
            import_string(part.dotted)()
        except Exception as error:
            # One part's bug must not stop the others: without the reaper nothing recovers.
            _log_failure(part, error, now)
            failed.append(part.name)
    return failed


def _log_failure(part: Part, error: Exception, now: float) -> None:
    """With its traceback; the same failure again only once a minute."""
    if repr(error) == part.last_error and now - part.last_logged < SAME_FAILURE_SECONDS:
        return
    part.last_error, part.last_logged = repr(error), now
    log.error("housekeeping failed", extra={"part": part.name}, exc_info=error)


def lease_take(holder: str) -> bool:
    """Take or renew the lease. False while another holder has renewed it within LEASE_SECONDS."""
    now = timezone.now()
    Canary.objects.get_or_create(
        cluster=LEASE, defaults={"asked_at": now - timedelta(seconds=LEASE_SECONDS), "nonce": ""}
    )
    term = timedelta(seconds=LEASE_SECONDS)
    # A renewal that lies ahead was written before the clock was set back: waiting for it could take hours.
    free = Q(nonce=holder) | Q(nonce="") | Q(asked_at__lt=now - term) | Q(asked_at__gt=now + term)
    return bool(Canary.objects.filter(free, cluster=LEASE).update(nonce=holder, asked_at=now))


def lease_release(holder: str) -> None:
    """Let the next ticker start at once."""
    Canary.objects.filter(cluster=LEASE, nonce=holder).update(nonce="")


def run_slice(
    *,
    seconds: float = SLICE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Any] = time.sleep,
) -> bool:
    """Tick for `seconds` while holding the lease. True when it came to its end and should be continued."""
    holder, end = secrets.token_hex(8), clock() + seconds
    while clock() < end and not stopping.requested():
        close_old_connections()
        if not lease_take(holder):
            return False
        tick(clock())
        sleep(TICK_SECONDS)
    lease_release(holder)
    return not stopping.requested()
