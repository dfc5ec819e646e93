"""Rows that describe work. The row is the truth; the queue only carries its id."""

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.models.base import ScopedModel


class JobStatus(models.TextChoices):
    PLANNED = "planned", _("Planned")
    QUEUED = "queued", _("Waiting")
    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Paused")
    SUCCEEDED = "succeeded", _("Finished")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


class JobModel(ScopedModel):
    """What every job row carries; apps.core.jobs is the only writer of these fields."""

    # Whether such a job starts other jobs and waits for them: `parts`.
    has_parts: ClassVar[bool] = False
    # Whether the time left is that of the phase at work, because nobody can tell how long the later ones take.
    left_is_of_phase: ClassVar[bool] = False

    status = models.CharField(max_length=12, choices=JobStatus.choices, default=JobStatus.PLANNED, db_index=True)
    attempt = models.PositiveIntegerField(default=0)
    claim = models.CharField(max_length=80, blank=True)
    queued_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    cancel_requested = models.BooleanField(default=False)
    pause_requested = models.BooleanField(default=False)
    phase = models.CharField(max_length=80, blank=True)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    seconds_left_low = models.FloatField(null=True)
    seconds_left_high = models.FloatField(null=True)
    error = models.TextField(blank=True)
    error_kept = models.TextField(blank=True)
    error_next = models.TextField(blank=True)

    class Meta:
        abstract = True

    @property
    def ended_for_good(self) -> bool:
        """Whether trying again could only end the same way."""
        return False

    def parts(self) -> "list[JobModel]":
        """Jobs that this one has started and that have not succeeded. What is pressed on it is pressed on them too."""
        return []


class Canary(models.Model):
    """One question to a queue cluster; unanswered, the cluster is restarted."""

    cluster = models.CharField(max_length=40, unique=True)
    asked_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    nonce = models.CharField(max_length=40)

    class Meta:
        verbose_name = _("canary")
        verbose_name_plural = _("canaries")

    def __str__(self) -> str:
        return self.cluster
