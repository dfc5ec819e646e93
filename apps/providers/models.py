"""Anything that can generate."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.models import JobModel, ScopedModel


class LanguageModel(ScopedModel):
    """A model that candidates can use. `facts` freezes what produced it; upward needs go through it."""

    class Kind(models.TextChoices):
        BASELINE = "baseline", _("Free baseline")
        LOCAL = "local", _("Local model")
        TRAINED = "trained", _("Trained here")
        COMMERCIAL = "commercial", _("Commercial model")

    class State(models.TextChoices):
        PLANNED = "planned", _("Planned")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Failed")
        RETIRED = "retired", _("Retired")

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="language_models")
    name = models.CharField(max_length=160)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PLANNED)
    # What the serving side calls it: for the inference process a folder below artifacts/models.
    served_name = models.CharField(max_length=160)
    # Changes whenever the same name would answer differently: part of the response cache's key.
    revision = models.CharField(max_length=80, blank=True)
    # Storage name of a fitted baseline, or of the model's folder.
    artifact = models.CharField(max_length=300, blank=True)
    context_length = models.PositiveIntegerField(default=0)
    note = models.CharField(max_length=300, blank=True)
    error = models.TextField(blank=True)
    facts = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("model")
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["team", "served_name"], name="language_model_served_name")]

    def __str__(self) -> str:
        return self.name


# What one of `done` and `total` of a ModelFetch stands for.
UNIT_BYTES = 1000


class ModelFetch(JobModel):
    """Bringing one model in: downloaded, copied from a folder of this machine, or out of a file that was sent."""

    left_is_of_phase = True

    class Source(models.TextChoices):
        HUB = "hub", _("Download")
        FOLDER = "folder", _("Folder on this machine")
        UPLOAD = "upload", _("Upload")

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="model_fetches")
    # The planned model that this job makes ready.
    language_model = models.OneToOneField(LanguageModel, on_delete=models.PROTECT, related_name="fetch")
    source = models.CharField(max_length=8, choices=Source.choices)
    # repository@revision, the folder's path, or the stored name of what was sent.
    location = models.CharField(max_length=500)
    # What an adapter is added to, where a person has chosen it.
    base_model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, null=True, related_name="+")
    # Why it failed, in a word that the page of models asks for: `hub_unreachable` offers the folder.
    error_code = models.CharField(max_length=40, blank=True)
    host_pid = models.PositiveIntegerField(null=True)
    host_started_ticks = models.PositiveBigIntegerField(null=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = _("model import")
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.language_model.name
