"""An experiment run: one job that walks the whole path of an experiment, from its data to its report. And what was
asked in the playground.
"""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from apps.core.models import JobModel, JobStatus, ScopedModel
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


class PlaygroundRun(ScopedModel):
    """Candidates beside each other on one input, as somebody sent or shared them. It never changes.

    `setup`: {"input", "columns": {name: text}, "example": {"version", "row"} or absent, "candidates": [{"model",
    "prompt", "messages": [{"role", "content"}], "max_tokens", "temperature"}]}; models, prompts and dataset versions
    by public id, an empty one where there is none.
    """

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="playground_runs")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    setup = models.JSONField()

    class Meta:
        verbose_name = _("playground run")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"Playground run {self.uid}"


class PlaygroundAnswer(ScopedModel):
    """What one candidate of a run answered, or why it did not: `error` is a sentence, `error_code` its stable name.

    Written in the transaction that books the answer, so that neither exists without the other.
    """

    team_path = "run__team"

    run = models.ForeignKey(PlaygroundRun, on_delete=models.CASCADE, related_name="answers")
    # From 1, in the order of the run's candidates.
    number = models.PositiveSmallIntegerField()
    model_name = models.CharField(max_length=200, blank=True)
    text = models.TextField(blank=True)
    finish_reason = models.CharField(max_length=100, blank=True)
    error = models.TextField(blank=True)
    error_code = models.CharField(max_length=100, blank=True)
    # Names the ledger entry; None where nothing was booked for an answer.
    generation_uid = models.UUIDField(null=True)
    latency_ms = models.FloatField(null=True)
    # Of a streamed answer alone; nobody measured it for one that came whole or from the cache.
    first_piece_ms = models.FloatField(null=True)
    cost_nanousd = models.BigIntegerField(default=0)
    saved_nanousd = models.BigIntegerField(default=0)
    # The provider did not say what it cost, so the most that it can be is booked.
    bounded = models.BooleanField(default=False)
    cached = models.BooleanField(default=False)
    assumed = models.BooleanField(default=False)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("playground answer")
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="playground_answer_once")]

    def __str__(self) -> str:
        return f"{self.run}, answer {self.number}"


class PlaygroundTurn(ScopedModel):
    """That a candidate of a run is being asked: who asks for it meanwhile waits for its answer.

    The turn of a process that is dead, or of one that was not heard of for too long, is taken by the next one who asks.
    """

    team_path = "run__team"

    run = models.ForeignKey(PlaygroundRun, on_delete=models.CASCADE, related_name="turns")
    number = models.PositiveSmallIntegerField()
    # Names this turn: whoever takes it over gives it another.
    token = models.UUIDField()
    # As in apps.billing.holders.
    holder = models.CharField(max_length=200)
    expires_at = models.DateTimeField()

    class Meta:
        verbose_name = _("playground turn")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="playground_turn_once")]

    def __str__(self) -> str:
        return f"{self.run}, turn {self.number}"
