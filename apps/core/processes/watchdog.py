"""Asking each queue cluster a question through its own queue, and deciding when silence means that it is stuck."""

import logging
import math
import secrets
from dataclasses import dataclass, field

from django.utils import timezone
from django_q.tasks import async_task

from apps.core.models import Canary

log = logging.getLogger(__name__)

ASK_SECONDS = 15.0
STUCK_SECONDS = 60.0
CANARY_TASK = "apps.core.tasks.canary_answer"


@dataclass
class ClusterWatch:
    """One cluster as the watchdog sees it. Times are seconds of the monotonic clock, which nobody sets."""

    name: str
    workers: int
    ask_seconds: float = ASK_SECONDS
    stuck_seconds: float = STUCK_SECONDS
    asked_at: float = -math.inf
    nonce: str = field(default="")
    # While every worker is inside a task that is within its time, silence says nothing.
    last_full_at: float = -math.inf

    def look(self, *, now: float, busy: int) -> bool:
        """Ask if it is time to. True when the cluster has been silent too long though it had a free worker."""
        if busy >= self.workers:
            self.last_full_at = now
        answered = self._answered()
        if answered and now - self.asked_at >= self.ask_seconds:
            self.ask(now)
            return False
        return not answered and now - max(self.asked_at, self.last_full_at) >= self.stuck_seconds

    def ask(self, now: float) -> None:
        """One open question at a time: a stuck cluster's queue must not fill with them."""
        self.nonce, self.asked_at = secrets.token_hex(8), now
        Canary.objects.update_or_create(cluster=self.name, defaults={"asked_at": timezone.now(), "nonce": self.nonce})
        async_task(CANARY_TASK, self.name, self.nonce, cluster=self.name)

    def _answered(self) -> bool:
        """An answer takes the question's nonce away, so that an earlier answer is never taken for a later one."""
        return not self.nonce or not Canary.objects.filter(cluster=self.name, nonce=self.nonce).exists()


def seconds_since_answer(cluster: str, *, not_before: float = 0.0) -> float | None:
    """How long ago the cluster last answered; None if it has not since `not_before` (seconds since the epoch)."""
    answered = Canary.objects.filter(cluster=cluster).values_list("answered_at", flat=True).first()
    if answered is None or answered.timestamp() < not_before:
        return None
    return max(0.0, (timezone.now() - answered).total_seconds())
