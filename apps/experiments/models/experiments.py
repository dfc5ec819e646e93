"""Experiments and their candidates."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.models import ScopedModel


class Experiment(ScopedModel):
    """One question. A changed definition is a new row that names the one before it."""

    class State(models.TextChoices):
        DRAFT = "draft", _("Being set up")
        REGISTERED = "registered", _("Running")
        FINISHED = "finished", _("Finished")

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="experiments")
    name = models.CharField(max_length=160)
    question = models.TextField()
    version_number = models.PositiveIntegerField(default=1)
    previous = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="next_versions")
    dataset_version = models.ForeignKey(
        "experiments.DatasetVersion", on_delete=models.PROTECT, related_name="experiments"
    )
    # As DatasetVersion.answer when the experiment was made: later answers are read and scored by it.
    answer = models.JSONField(default=dict)
    metrics = models.JSONField()
    primary_metric = models.CharField(max_length=60)
    reference = models.ForeignKey("Candidate", on_delete=models.PROTECT, null=True, related_name="+")
    margin = models.FloatField()
    alpha = models.FloatField(default=0.05)
    bootstrap_seed = models.PositiveBigIntegerField()
    bootstrap_resamples = models.PositiveIntegerField(default=9999)
    state = models.CharField(max_length=12, choices=State.choices, default=State.DRAFT)
    # Names of (candidate, reference) pairs, and the hash of the whole definition, written before the first test score.
    family = models.JSONField(default=list)
    registered_at = models.DateTimeField(null=True)
    registration_hash = models.CharField(max_length=64, blank=True)
    finished_at = models.DateTimeField(null=True)
    conclusion_kind = models.CharField(max_length=40, blank=True)
    conclusion_text = models.TextField(blank=True)
    notes = models.TextField(blank=True)
    report_artifact = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = _("experiment")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(margin__gt=0), name="experiment_margin_positive"),
            models.CheckConstraint(condition=models.Q(alpha__gt=0, alpha__lt=1), name="experiment_alpha_range"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_open(self) -> bool:
        """Whether it can still change: no conclusion has been drawn."""
        return self.state != self.State.FINISHED


class Candidate(ScopedModel):
    team_path = "experiment__team"

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="candidates")
    name = models.CharField(max_length=120)
    kind = models.CharField(
        max_length=12,
        choices=[
            ("baseline", _("Free baseline")),
            ("prompted", _("Prompted")),
            ("tuned", _("Fine-tuned")),
            ("commercial", _("Commercial")),
        ],
    )
    # A trial is compared on validation only, to choose between ways of making one candidate.
    trial = models.BooleanField(default=False)
    position = models.PositiveIntegerField(default=0)
    language_model = models.ForeignKey("providers.LanguageModel", on_delete=models.PROTECT, related_name="candidates")
    prompt_version = models.ForeignKey(
        "experiments.PromptVersion", on_delete=models.PROTECT, null=True, related_name="candidates"
    )
    # {"max_tokens": int, "temperature": float, "stop": [...]}; temperature null: the provider's own.
    parameters = models.JSONField(default=dict)
    # Made after results on these test rows had been seen: it is shown, and stays out of family and recommendation.
    late = models.BooleanField(default=False)
    frozen_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("candidate")
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["experiment", "name"], name="candidate_name")]

    def __str__(self) -> str:
        return self.name
