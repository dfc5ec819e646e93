"""Who did what to what. Written in the change's own transaction, chained afterwards by the sealer."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.models.base import ScopedModel


class AuditEvent(ScopedModel):
    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, null=True, related_name="audit_events")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    actor_label = models.CharField(max_length=254)
    verb = models.CharField(max_length=80)
    object_type = models.CharField(max_length=80)
    object_uid = models.UUIDField(null=True)
    facts = models.JSONField(default=dict)
    sequence = models.PositiveBigIntegerField(null=True, editable=False)
    previous_hash = models.CharField(max_length=64, blank=True, editable=False)
    hash = models.CharField(max_length=64, blank=True, editable=False)

    class Meta:
        verbose_name = _("audit event")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["team", "sequence"], name="audit_sequence_unique"),
            # Events without a team are one chain, and a NULL differs from every other.
            models.UniqueConstraint(
                fields=["sequence"], condition=models.Q(team__isnull=True), name="audit_sequence_unique_no_team"
            ),
        ]
        indexes = [models.Index(fields=["sequence", "id"], name="audit_unsealed")]

    def __str__(self) -> str:
        return f"{self.verb} by {self.actor_label}"
