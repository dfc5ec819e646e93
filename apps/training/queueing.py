"""Where a waiting job stands: how many are before it, in words."""

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.models import JobStatus
from apps.training.device import device_is_busy
from apps.training.models import Preflight, TrainingRun

_PLACES = (
    gettext_lazy("First in the queue"),
    gettext_lazy("Second in the queue"),
    gettext_lazy("Third in the queue"),
    gettext_lazy("Fourth in the queue"),
    gettext_lazy("Fifth in the queue"),
)


def queue_position(job: TrainingRun | Preflight) -> int | None:
    """How many waiting jobs come before this one; None when it does not wait. Jobs of every team share the device."""
    if job.status != JobStatus.QUEUED:
        return None
    before = type(job).objects.filter(status=JobStatus.QUEUED, pk__lt=job.pk).count()
    if isinstance(job, TrainingRun):
        before += Preflight.objects.filter(status=JobStatus.QUEUED).count()
    return int(before)


def place_text(position: int) -> str:
    if position < len(_PLACES):
        return str(_PLACES[position])
    return _("Number %(n)d in the queue") % {"n": position + 1}


def queue_text(job: TrainingRun | Preflight) -> str:
    """What a waiting job waits for, and its place; empty when it does not wait."""
    position = queue_position(job)
    if position is None:
        return ""
    place = place_text(position)
    if TrainingRun.objects.filter(status=JobStatus.RUNNING).exists() or device_is_busy(job):
        return _("Waits for the training that runs. %(place)s.") % {"place": place}
    return f"{place}."
