"""Who has this machine's device: one training or one preflight at a time, in the order in which they were planned."""

import socket
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone
from django_q.tasks import async_task

from apps.core.jobs import kind_of
from apps.core.models import JobStatus
from apps.training.models import DeviceLease, Preflight, TrainingRun

LEASE = timedelta(seconds=60)


def device_name() -> str:
    return f"cpu:{socket.gethostname()}"


def lease_take(job: TrainingRun | Preflight) -> bool:
    """Take or renew this machine's device. False while another job has it."""
    now = timezone.now()
    DeviceLease.objects.get_or_create(device=device_name(), defaults={"expires_at": now})
    holder = _holder(job)
    free = Q(expires_at__lte=now) | Q(run=None, preflight=None) | Q(**holder)
    return bool(
        DeviceLease.objects.filter(free, device=device_name()).update(
            **{"run": None, "preflight": None, **holder}, attempt=job.attempt, expires_at=now + LEASE
        )
    )


def lease_release(job: TrainingRun | Preflight, *, attempt: int) -> None:
    """Give the device back, and tell whoever waits for it: the reaper would find them half a minute later.

    `attempt`: the one that took it. The row may count from the beginning again, or be another attempt's by now.
    """
    held = DeviceLease.objects.filter(**_holder(job), attempt=attempt)
    if held.update(run=None, preflight=None, expires_at=timezone.now()):
        _wake_next()


def device_is_busy(job: TrainingRun | Preflight | None = None) -> bool:
    """Whether a job other than this one has the device: an earlier attempt of it may have died with the lease."""
    held = Q(run__isnull=False) | Q(preflight__isnull=False)
    leases = DeviceLease.objects.filter(held, device=device_name(), expires_at__gt=timezone.now())
    return (leases if job is None else leases.exclude(**_holder(job))).exists()


def waits_for_others(job: TrainingRun | Preflight) -> bool:
    """Whether it is another job's turn: preflights, which are short, before trainings, and what was planned first."""
    if isinstance(job, Preflight):
        return Preflight.objects.filter(status=JobStatus.QUEUED, pk__lt=job.pk).exists()
    waiting = TrainingRun.objects.filter(status=JobStatus.QUEUED, pk__lt=job.pk)
    return waiting.exists() or Preflight.objects.filter(status=JobStatus.QUEUED).exists()


def _holder(job: TrainingRun | Preflight) -> dict[str, Any]:
    return {"run": job} if isinstance(job, TrainingRun) else {"preflight": job}


def _wake_next() -> None:
    for model in (Preflight, TrainingRun):
        waiting = model.objects.filter(status=JobStatus.QUEUED).order_by("pk").first()
        if waiting is not None:
            async_task(kind_of(waiting).task, waiting.pk, cluster="worker")
            return
