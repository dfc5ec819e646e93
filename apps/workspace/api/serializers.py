"""What making an experiment takes and answers in the API."""

from decimal import Decimal
from typing import Any, ClassVar

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.api.paging import PageQuery
from apps.core.api.shapes import RequestSerializer
from apps.evaluation.api.serializers import AlphaField, MarginField
from apps.experiments.services.baselines import NAMES as BASELINES
from apps.training.plan import PRESETS
from apps.workspace.models import ExperimentRun
from apps.workspace.selectors.jobs import JobRow

# From a micro-dollar to a million, to the nano-dollar.
_USD = r"^(?:[1-9][0-9]{0,5}(?:\.[0-9]{1,9})?|1000000(?:\.0{1,9})?|0\.[0-9]{0,5}[1-9][0-9]{0,3})$"


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "pattern": _USD},
            {"type": "number", "format": "double", "minimum": 0.000001, "maximum": 1_000_000},
        ]
    }
)
class UsdField(serializers.DecimalField):
    """US dollars: exactly as a text, or as a number of JSON, which is rounded to the nano-dollar."""

    def __init__(self, **options: Any) -> None:
        limits: dict[str, Any] = {"min_value": Decimal("0.000001"), "max_value": Decimal(1_000_000)}
        super().__init__(max_digits=16, decimal_places=9, **limits, **options)

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value(f"{data:.9f}" if isinstance(data, float) else data)


@extend_schema_field({"type": "string", "enum": list(BASELINES)})
class BaselineField(serializers.CharField):
    """A free baseline. Which of them these answers have is said where they are added."""


class ExperimentCreateSerializer(RequestSerializer):
    """`margin` is the smallest difference that matters, in units of the primary metric."""

    dataset_version = serializers.UUIDField()
    name = serializers.CharField(max_length=160)
    question = serializers.CharField()
    metrics = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        allow_empty=False,
        help_text="All that answers allow, unless told.",
    )
    primary_metric = serializers.CharField(required=False, help_text="What the answers suggest, unless told.")
    margin = MarginField(required=False, default=0.05)
    alpha = AlphaField(required=False, default=0.05)
    budget_usd = UsdField(required=False, allow_null=True)


class CandidatesCreateSerializer(RequestSerializer):
    """Every model with every prompt version, and free baselines by their method."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "anyOf": [
            {"required": ["models", "prompts"], "properties": {"models": {"minItems": 1}, "prompts": {"minItems": 1}}},
            {
                "required": ["baselines"],
                "properties": {"baselines": {"minItems": 1}, "models": {"maxItems": 0}, "prompts": {"maxItems": 0}},
            },
        ]
    }
    models = serializers.ListField(child=serializers.UUIDField(), required=False, default=list)
    prompts = serializers.ListField(child=serializers.UUIDField(), required=False, default=list)
    baselines = serializers.ListField(child=BaselineField(), required=False, default=list)
    max_tokens = serializers.IntegerField(required=False, min_value=1, max_value=4096)
    temperature = serializers.FloatField(required=False, default=0.0, min_value=0, max_value=2)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not any(attrs[name] for name in ("models", "prompts", "baselines")):
            raise serializers.ValidationError(_("Choose a model with a prompt, or a free baseline."))
        return attrs


class ReferenceSerializer(RequestSerializer):
    candidate = serializers.UUIDField()


class CloneSerializer(RequestSerializer):
    """With `fresh_test_set` the clone stands on test rows that nobody has seen results of."""

    fresh_test_set = serializers.BooleanField(required=False, default=False)


class ValidationSerializer(serializers.Serializer[Any]):
    started = serializers.IntegerField(help_text="How many candidates are tried on validation now.")


class RunSerializer(serializers.ModelSerializer[ExperimentRun]):
    """The job that runs a plan or a final test."""

    experiment = serializers.UUIDField(source="experiment.uid", default=None, allow_null=True)
    status = serializers.CharField()

    class Meta:
        model = ExperimentRun
        fields = (
            "uid",
            "experiment",
            "status",
            "phase",
            "done",
            "total",
            "seconds_left_low",
            "seconds_left_high",
            "error",
            "created_at",
            "finished_at",
        )


class PlanSerializer(RequestSerializer):
    """A whole experiment on a dataset version. What is left out is as proposed.

    `plain` is the base model with `instruction`, `few_shot` the same with `shown` solved training rows in its prompt,
    `tune` a model that is fine-tuned on the training rows as `preset` says, `commercial` the smallest model of each
    provider that the team has a key for.
    """

    name = serializers.CharField(max_length=160, required=False)
    question = serializers.CharField(required=False)
    metrics = serializers.ListField(child=serializers.CharField(), required=False, allow_empty=False)
    primary_metric = serializers.CharField(required=False)
    margin = MarginField(required=False, help_text="In units of the primary metric.")
    alpha = AlphaField(required=False)
    budget_usd = UsdField(required=False, allow_null=True)
    base_model = serializers.CharField(required=False, allow_blank=True, help_text="Public id of a local model.")
    baselines = serializers.ListField(child=BaselineField(), required=False)
    plain = serializers.BooleanField(required=False)
    instruction = serializers.CharField(required=False, allow_blank=True)
    few_shot = serializers.BooleanField(required=False)
    shown = serializers.IntegerField(required=False, min_value=1, max_value=32)
    tune = serializers.BooleanField(required=False)
    commercial = serializers.BooleanField(required=False)
    preset = serializers.ChoiceField(choices=list(PRESETS), required=False)
    max_tokens = serializers.IntegerField(required=False, min_value=1, max_value=4096)


class EstimateSerializer(serializers.Serializer[Any]):
    """A range. `unknown` names models whose speed was never measured here, so that they are not in it."""

    seconds_low = serializers.FloatField()
    seconds_high = serializers.FloatField()
    nanousd_low = serializers.IntegerField()
    nanousd_high = serializers.IntegerField()
    unknown = serializers.ListField(child=serializers.CharField())


class ProposalSerializer(serializers.Serializer[Any]):
    """`unfit` says of parts of the proposal why these rows or this machine do not allow them.

    `few_test` says which differences so few test rows cannot show; it is empty where there are enough.
    """

    proposal = PlanSerializer()
    choices = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))
    unfit = serializers.DictField(child=serializers.CharField())
    few_test = serializers.CharField()
    estimate = EstimateSerializer()


class JobQuery(PageQuery):
    kind = serializers.CharField(
        required=False, allow_blank=True, default="", help_text="Only jobs of one kind: the `kind` of a job."
    )
    state = serializers.ChoiceField(
        choices=["active", "ended"],
        required=False,
        default="",
        help_text="Only jobs that run or wait, or that have ended.",
    )


class JobSerializer(serializers.Serializer[Any]):
    """A job of any kind. `actions` are what may be asked of it now: cancel, pause, resume (which is also a retry).

    `status` is what it is; `state` also tells a wish that it has not followed yet: cancelling, pausing.
    """

    uid = serializers.UUIDField(source="job.uid")
    kind = serializers.CharField()
    title = serializers.CharField()
    status = serializers.CharField(source="job.status")
    state = serializers.CharField()
    phase = serializers.CharField()
    done = serializers.IntegerField(source="job.done")
    total = serializers.IntegerField(allow_null=True)
    seconds_left_low = serializers.FloatField(source="job.seconds_left_low", allow_null=True)
    seconds_left_high = serializers.FloatField(source="job.seconds_left_high", allow_null=True)
    error = serializers.CharField(source="job.error")
    error_kept = serializers.CharField(source="job.error_kept")
    error_next = serializers.CharField(source="job.error_next")
    actions = serializers.SerializerMethodField()
    page = serializers.SerializerMethodField(help_text="Address of the page for people.")
    created_at = serializers.DateTimeField(source="job.created_at")
    started_at = serializers.DateTimeField(source="job.started_at", allow_null=True)
    finished_at = serializers.DateTimeField(source="job.finished_at", allow_null=True)

    def get_actions(self, row: JobRow) -> list[str]:
        return [name for name, _label, _question in row.actions]

    def get_page(self, row: JobRow) -> str | None:
        return self.context["request"].build_absolute_uri(row.url) if row.url else None


class JobPageSerializer(serializers.Serializer[Any]):
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    count = serializers.IntegerField()
    kinds = serializers.ListField(child=serializers.CharField(), help_text="Every kind of job that there is.")
    results = JobSerializer(many=True)


class ActivitySerializer(serializers.Serializer[Any]):
    """One event in words."""

    at = serializers.DateTimeField()
    actor = serializers.CharField()
    text = serializers.CharField()


class ActivityPageSerializer(serializers.Serializer[Any]):
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = ActivitySerializer(many=True)
