"""The quickstart: one job that walks the whole path on the demo data."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.models import JobModel, JobStatus
from apps.evaluation.models import Evaluation
from apps.training.models import TrainingRun


class Quickstart(JobModel):
    has_parts = True

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="quickstarts")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    # The committed definition it follows, and the hash of that file: another file is another quickstart.
    definition = models.JSONField()
    definition_hash = models.CharField(max_length=64)
    experiment = models.OneToOneField(
        "experiments.Experiment", on_delete=models.PROTECT, null=True, related_name="quickstart"
    )
    training_run = models.OneToOneField(
        "training.TrainingRun", on_delete=models.PROTECT, null=True, related_name="quickstart"
    )
    # {"import": seconds, ...}; and facts such as the peak memory that the supervisor measured.
    seconds = models.JSONField(default=dict)
    facts = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("quickstart")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["team", "definition_hash"], name="quickstart_once_per_definition")
        ]

    def __str__(self) -> str:
        return f"Quickstart {self.definition_hash[:8]}"

    def parts(self) -> list[JobModel]:
        """Its evaluations and its training run, as they are stored now."""
        untouched = (JobStatus.PLANNED, JobStatus.SUCCEEDED)
        evaluations = Evaluation.objects.filter(experiment__quickstart=self).exclude(status__in=untouched)
        runs = TrainingRun.objects.filter(quickstart=self).exclude(status__in=untouched)
        return [*evaluations.order_by("id"), *runs]
