"""Anything that can generate."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.models import ScopedModel


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
