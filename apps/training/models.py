"""Fine-tuning runs, what they saved, and the registry of what came out."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.core.models import JobModel, ScopedModel


class Preflight(JobModel):
    """What a run would take, measured before it starts. `digest` names the question: asked again, the same answer."""

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="preflights")
    base_model = models.ForeignKey("providers.LanguageModel", on_delete=models.PROTECT, related_name="preflights")
    dataset_version = models.ForeignKey(
        "experiments.DatasetVersion", on_delete=models.PROTECT, related_name="preflights"
    )
    prompt_version = models.ForeignKey("experiments.PromptVersion", on_delete=models.PROTECT, related_name="preflights")
    # As TrainingRun.spec and TrainingRun.limits.
    spec = models.JSONField()
    limits = models.JSONField(default=dict)
    digest = models.CharField(max_length=64, db_index=True)
    # measured.json of the engine, and what the host has found beside it.
    result = models.JSONField(default=dict)
    host_pid = models.PositiveIntegerField(null=True)
    host_started_ticks = models.PositiveBigIntegerField(null=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = _("preflight")
        ordering = ["-id"]

    def __str__(self) -> str:
        return gettext("%(model)s on %(data)s") % {"model": self.base_model.name, "data": self.dataset_version}


class TrainingRun(JobModel):
    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="training_runs")
    name = models.CharField(max_length=160)
    base_model = models.ForeignKey("providers.LanguageModel", on_delete=models.PROTECT, related_name="training_runs")
    # The planned model that this run makes ready.
    language_model = models.OneToOneField("providers.LanguageModel", on_delete=models.PROTECT, related_name="made_by")
    dataset_version = models.ForeignKey(
        "experiments.DatasetVersion", on_delete=models.PROTECT, related_name="training_runs"
    )
    prompt_version = models.ForeignKey(
        "experiments.PromptVersion", on_delete=models.PROTECT, related_name="training_runs"
    )
    # What the engine is told (apps.training.engine.spec), without paths.
    spec = models.JSONField()
    # Which rows: {"max_examples": int, "max_seconds": int, "leave_out_long": bool}; what is not limited is absent.
    limits = models.JSONField(default=dict)
    # What was measured before the start, and how many seconds of work it promised; of the engine's own preflight where
    # nobody asked before.
    preflight = models.ForeignKey(Preflight, on_delete=models.PROTECT, null=True, related_name="runs")
    predicted_low = models.FloatField(null=True)
    predicted_high = models.FloatField(null=True)
    host_pid = models.PositiveIntegerField(null=True)
    # Clock ticks since the machine started, as in apps.core.processes.tree: setting the clock does not move them.
    host_started_ticks = models.PositiveBigIntegerField(null=True)
    engine_pid = models.PositiveIntegerField(null=True)
    engine_started_ticks = models.PositiveBigIntegerField(null=True)
    # Byte offset up to which the engine's events are in the database.
    event_offset = models.PositiveBigIntegerField(default=0)
    phases = models.JSONField(default=list)
    device = models.CharField(max_length=160, blank=True)
    tokens_per_second = models.FloatField(null=True)
    memory_mib = models.FloatField(null=True)
    log_tail = models.TextField(blank=True)
    result = models.JSONField(default=dict)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = _("training run")
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


class Checkpoint(ScopedModel):
    team_path = "run__team"

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="checkpoints")
    step = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    size_bytes = models.PositiveBigIntegerField()

    class Meta:
        verbose_name = _("checkpoint")
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["run", "step"], name="checkpoint_step")]

    def __str__(self) -> str:
        return f"step {self.step}"


class MetricPoint(models.Model):
    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="points")
    name = models.CharField(max_length=60)
    step = models.PositiveIntegerField()
    value = models.FloatField()

    class Meta:
        verbose_name = _("metric point")
        ordering = ["name", "step"]
        constraints = [models.UniqueConstraint(fields=["run", "name", "step"], name="metric_point_once")]

    def __str__(self) -> str:
        return f"{self.name}@{self.step}={self.value}"


class SampleOutput(models.Model):
    """What the model in training (`text`) and the base model (`base`) answered to a validation example at a step."""

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="samples")
    example_id = models.CharField(max_length=64)
    step = models.PositiveIntegerField()
    input = models.TextField()
    expected = models.TextField()
    base = models.TextField(blank=True)
    text = models.TextField(blank=True)

    class Meta:
        verbose_name = _("sample")
        ordering = ["example_id", "step"]
        constraints = [models.UniqueConstraint(fields=["run", "example_id", "step"], name="sample_once")]

    def __str__(self) -> str:
        return f"{self.example_id}@{self.step}"


class DeviceLease(models.Model):
    """One training or one preflight at a time on one device of one machine."""

    device = models.CharField(max_length=160, unique=True)
    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, null=True, related_name="+")
    preflight = models.ForeignKey(Preflight, on_delete=models.CASCADE, null=True, related_name="+")
    attempt = models.PositiveIntegerField(default=0)
    expires_at = models.DateTimeField()

    class Meta:
        verbose_name = _("device lease")

    def __str__(self) -> str:
        return self.device


class ModelVersion(ScopedModel):
    """An immutable trained artefact. Aliases move; nothing else does."""

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="model_versions")
    language_model = models.OneToOneField("providers.LanguageModel", on_delete=models.PROTECT, related_name="version")
    run = models.OneToOneField(TrainingRun, on_delete=models.PROTECT, related_name="model_version")
    number = models.PositiveIntegerField()
    aliases = models.JSONField(default=list)
    digest = models.CharField(max_length=64)
    lineage = models.JSONField(default=dict)
    certificate = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("model version")
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["team", "number"], name="model_version_number")]

    def __str__(self) -> str:
        return f"{self.language_model.name} v{self.number}"
