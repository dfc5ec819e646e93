"""An experiment run: one job that walks the whole path of an experiment, from its data to its report."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.core.models import JobModel, JobStatus
from apps.evaluation.models import Evaluation
from apps.providers.models import ModelFetch
from apps.training.models import TrainingRun


class ExperimentRun(JobModel):
    """`definition` says what to do: the committed file of the quickstart, one made for a team's own data, or the public
    id of an experiment that was put together on its page ({"experiment_uid": ...})."""

    has_parts = True

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="experiment_runs")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    # What it follows, and the hash of that: another definition is another run.
    definition = models.JSONField()
    definition_hash = models.CharField(max_length=64)
    experiment = models.OneToOneField("experiments.Experiment", on_delete=models.PROTECT, null=True, related_name="run")
    # Of a definition that trains one model; models that candidates of a page-made experiment wait for have their own.
    training_run = models.OneToOneField(
        "training.TrainingRun", on_delete=models.PROTECT, null=True, related_name="experiment_run"
    )
    # {"import": seconds, ...}; and facts such as the peak memory that the supervisor measured.
    seconds = models.JSONField(default=dict)
    facts = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("experiment run")
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["team", "definition_hash"], name="experiment_run_once")]

    def __str__(self) -> str:
        return self.experiment.name if self.experiment else f"Experiment run {self.definition_hash[:8]}"

    def parts(self) -> list[JobModel]:
        """Its evaluations, and the trainings and imports of models that it waits for, as they are stored now."""
        untouched = (JobStatus.PLANNED, JobStatus.SUCCEEDED)
        evaluations = Evaluation.objects.filter(experiment__run=self).exclude(status__in=untouched)
        trainings = Q(experiment_run=self) | Q(language_model__candidates__experiment__run=self)
        runs = TrainingRun.objects.filter(trainings).exclude(status__in=untouched).distinct()
        models = Q(language_model__candidates__experiment__run=self)
        if uid := self.definition.get("model", {}).get("uid"):
            models |= Q(language_model__uid=uid, team=self.team_id)
        fetches = ModelFetch.objects.filter(models).exclude(status__in=untouched).distinct()
        return [*fetches.order_by("id"), *evaluations.order_by("id"), *runs.order_by("id")]
