"""Runs of candidates over a split, what came out, and how it scored."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.models import JobModel, ScopedModel


class Evaluation(JobModel):
    team_path = "experiment__team"

    class Purpose(models.TextChoices):
        CHOICE = "choice", _("Choosing on validation")
        FINAL = "final", _("Final test")

    experiment = models.ForeignKey("experiments.Experiment", on_delete=models.PROTECT, related_name="evaluations")
    candidate = models.ForeignKey("experiments.Candidate", on_delete=models.PROTECT, related_name="evaluations")
    split = models.CharField(max_length=12, choices=[("validation", _("validation")), ("test", _("test"))])
    purpose = models.CharField(max_length=10, choices=Purpose.choices)
    # Ids in the seeded order in which they are visited, the same for all candidates of an experiment.
    example_ids = models.JSONField(default=list)
    # Seed of that order.
    order_seed = models.PositiveBigIntegerField(default=0)
    repeats = models.PositiveIntegerField(default=1)
    # Seconds of work in all slices; wall time would count waiting.
    work_seconds = models.FloatField(default=0)
    # Whose budgets its calls count in, beside the team's and the experiment's; null: nobody's.
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        verbose_name = _("evaluation")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["candidate", "split", "purpose"], name="evaluation_once_per_candidate")
        ]

    def __str__(self) -> str:
        return f"{self.candidate} on {self.split}"


class Output(ScopedModel):
    team_path = "evaluation__experiment__team"
    # `error` of an output for which no prompt could be made: nothing was called, so nothing was reserved or booked.
    PROMPT_FAILED = "prompt_failed"

    evaluation = models.ForeignKey(Evaluation, on_delete=models.PROTECT, related_name="outputs")
    example_id = models.CharField(max_length=64)
    repeat = models.PositiveIntegerField(default=0)
    text = models.TextField(blank=True)
    finish_reason = models.CharField(max_length=20, blank=True)
    # Empty: none. "infrastructure": the pair is dropped. Anything else is the candidate's own failure.
    error = models.CharField(max_length=40, blank=True)
    error_text = models.TextField(blank=True)
    # Of the call that made the text; a cached answer keeps both. What was paid is in the ledger.
    latency_ms = models.FloatField(null=True)
    cost_nanousd = models.PositiveBigIntegerField(default=0)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cached = models.BooleanField(default=False)
    reservation = models.ForeignKey("billing.Reservation", on_delete=models.PROTECT, null=True, related_name="outputs")

    class Meta:
        verbose_name = _("output")
        constraints = [
            models.UniqueConstraint(fields=["evaluation", "example_id", "repeat"], name="output_once"),
        ]

    def __str__(self) -> str:
        return f"{self.evaluation_id} {self.example_id}"


class Score(ScopedModel):
    """One metric's value for one output, or no value with the reason."""

    team_path = "output__evaluation__experiment__team"

    output = models.ForeignKey(Output, on_delete=models.PROTECT, related_name="scores")
    metric = models.CharField(max_length=60)
    signature = models.CharField(max_length=160)
    value = models.FloatField(null=True)
    unscored_reason = models.CharField(max_length=200, blank=True)
    # What the metric counted, e.g. true positives, predicted, expected.
    detail = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("score")
        constraints = [
            models.UniqueConstraint(fields=["output", "metric"], name="score_once"),
            models.CheckConstraint(
                condition=models.Q(value__isnull=False) | ~models.Q(unscored_reason=""), name="score_or_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.metric}={self.value}"


class TestLook(ScopedModel):
    """Each time test rows were handed out or their scores used, and by which decision."""

    __test__ = False  # the name is the design's; pytest must not collect it
    team_path = "experiment__team"

    dataset_version = models.ForeignKey("experiments.DatasetVersion", on_delete=models.PROTECT, related_name="looks")
    experiment = models.ForeignKey("experiments.Experiment", on_delete=models.PROTECT, related_name="looks")
    evaluation = models.ForeignKey(Evaluation, on_delete=models.PROTECT, null=True, related_name="looks")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    decision = models.CharField(max_length=200)

    class Meta:
        verbose_name = _("look at the test set")
        verbose_name_plural = _("looks at the test set")
        constraints = [models.UniqueConstraint(fields=["evaluation"], name="test_look_once_per_evaluation")]

    def __str__(self) -> str:
        return self.decision


class Leaderboard(ScopedModel):
    """Figures of an experiment as far as its evaluations have ended: the report without examples and outputs."""

    team_path = "experiment__team"

    experiment = models.OneToOneField("experiments.Experiment", on_delete=models.PROTECT, related_name="leaderboard")
    # How many final evaluations had ended when it was computed; an older computation never replaces a newer one.
    ended_count = models.PositiveIntegerField(default=0)
    document = models.JSONField(default=dict)
    computed_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("leaderboard")

    def __str__(self) -> str:
        return f"leaderboard of {self.experiment}"
