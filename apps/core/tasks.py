"""Tasks of the queue that every app needs."""

from datetime import timedelta

from django.utils import timezone
from django_q.models import Schedule
from django_q.tasks import async_task

from apps.core import housekeeping
from apps.core.models import Canary

HOUSEKEEPING = "housekeeping"
MINUTE_TASK = "apps.core.tasks.housekeeping_minute"


def canary_answer(cluster: str, nonce: str) -> bool:
    """Answer the watchdog's question; a late answer to an older question is no answer."""
    return bool(Canary.objects.filter(cluster=cluster, nonce=nonce).update(answered_at=timezone.now(), nonce=""))


def housekeeping_minute() -> bool:
    """Tick until the slice ends, then queue the next slice. Started again each minute, in case that message is lost."""
    if not housekeeping.run_slice():
        return False
    async_task(MINUTE_TASK, cluster=HOUSEKEEPING)
    return True


def schedules_ensure() -> None:
    """Make the schedule rows what they should be, and queue the first slice now instead of in a minute."""
    Schedule.objects.update_or_create(
        name=MINUTE_TASK,
        defaults={
            "func": MINUTE_TASK,
            "schedule_type": Schedule.MINUTES,
            "minutes": 1,
            "repeats": -1,
            "cluster": HOUSEKEEPING,
            "next_run": timezone.now() + timedelta(minutes=1),
        },
    )
    async_task(MINUTE_TASK, cluster=HOUSEKEEPING)
