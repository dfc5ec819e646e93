"""The shapes of a fine-tuning run in the API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.api.shapes import QuerySerializer, RequestSerializer
from apps.training.models import Checkpoint, Preflight, TrainingRun
from apps.training.plan import METHODS, PRESETS
from apps.training.queueing import queue_position
from apps.training.runlist import prediction_of

MOST_EXAMPLES = 10**9
# A year.
MOST_MINUTES = 366 * 24 * 60


class FineTuneSerializer(RequestSerializer):
    """What to train. `spec` replaces fields of the preset by name, as docs/training-engine.md lists them.

    Without `prompt_version` the prompt is the input alone. How many examples fit into `max_minutes` is measured, so it
    needs a preflight.
    """

    name = serializers.CharField(max_length=160, required=False, default="", allow_blank=True)
    dataset_version = serializers.UUIDField()
    base_model = serializers.UUIDField()
    prompt_version = serializers.UUIDField(required=False, allow_null=True, default=None)
    method = serializers.ChoiceField(choices=list(METHODS), default="lora")
    preset = serializers.ChoiceField(choices=list(PRESETS), default="balanced")
    max_examples = serializers.IntegerField(min_value=1, max_value=MOST_EXAMPLES, required=False)
    max_minutes = serializers.FloatField(min_value=0.1, max_value=MOST_MINUTES, required=False)
    leave_out_long = serializers.BooleanField(default=False)
    spec = serializers.DictField(required=False, default=dict)


class TrainingRunSerializer(serializers.ModelSerializer[TrainingRun]):
    """One run. `queue_position` counts the jobs before it, and is null unless it waits.

    `predicted_low` and `predicted_high` are seconds of computing: of the check named by `preflight`, or, where that is
    null, of the trainer after its first step. `took_seconds` is what it then took, `prediction_deviation` by which
    share of the range's middle that was longer (below 0: shorter); both are null until the run has succeeded.
    """

    team = serializers.CharField(source="team.slug")
    base_model = serializers.UUIDField(source="base_model.uid")
    model = serializers.UUIDField(source="language_model.uid")
    dataset_version = serializers.UUIDField(source="dataset_version.uid")
    prompt_version = serializers.UUIDField(source="prompt_version.uid")
    preflight = serializers.UUIDField(source="preflight.uid", default=None, allow_null=True)
    queue_position = serializers.SerializerMethodField()
    took_seconds = serializers.SerializerMethodField()
    prediction_deviation = serializers.SerializerMethodField()

    class Meta:
        model = TrainingRun
        fields = (
            "uid",
            "team",
            "name",
            "status",
            "queue_position",
            "phase",
            "done",
            "total",
            "seconds_left_low",
            "seconds_left_high",
            "predicted_low",
            "predicted_high",
            "preflight",
            "took_seconds",
            "prediction_deviation",
            "base_model",
            "dataset_version",
            "prompt_version",
            "model",
            "spec",
            "limits",
            "tokens_per_second",
            "memory_mib",
            "error",
            "created_at",
            "started_at",
            "finished_at",
        )

    def get_queue_position(self, run: TrainingRun) -> int | None:
        return queue_position(run)

    def get_took_seconds(self, run: TrainingRun) -> float | None:
        prediction = prediction_of(run)
        return prediction.took if prediction is not None else None

    def get_prediction_deviation(self, run: TrainingRun) -> float | None:
        prediction = prediction_of(run)
        return prediction.deviation if prediction is not None else None


class RefusalSerializer(serializers.Serializer[Any]):
    """Why the run may not start, and what would do."""

    code = serializers.CharField()
    says = serializers.CharField()
    fits = serializers.CharField()
    rows = serializers.ListField(child=serializers.CharField())


class CostSerializer(serializers.Serializer[Any]):
    """In nano-dollars; `assumed` where the price of an hour is nobody's but ours."""

    low = serializers.IntegerField()
    high = serializers.IntegerField()
    assumed = serializers.BooleanField()


class PreflightSerializer(serializers.ModelSerializer[Preflight]):
    """What a run would take, from real steps. `allowed` once it has succeeded and nothing is refused.

    `result` has, among others, `examples`, `trained_tokens`, `cut`, `memory_mib`, `seconds_low` and `seconds_high`.
    """

    base_model = serializers.UUIDField(source="base_model.uid")
    dataset_version = serializers.UUIDField(source="dataset_version.uid")
    prompt_version = serializers.UUIDField(source="prompt_version.uid")
    queue_position = serializers.SerializerMethodField()
    allowed = serializers.SerializerMethodField()
    refusals = serializers.SerializerMethodField()
    cost_nanousd = serializers.SerializerMethodField()

    class Meta:
        model = Preflight
        fields = (
            "uid",
            "status",
            "queue_position",
            "phase",
            "done",
            "total",
            "base_model",
            "dataset_version",
            "prompt_version",
            "spec",
            "limits",
            "allowed",
            "refusals",
            "cost_nanousd",
            "result",
            "error",
            "created_at",
            "finished_at",
        )

    def get_queue_position(self, preflight: Preflight) -> int | None:
        return queue_position(preflight)

    def get_allowed(self, preflight: Preflight) -> bool:
        return bool(self.context["facts"].allowed)

    @extend_schema_field(RefusalSerializer(many=True))
    def get_refusals(self, preflight: Preflight) -> Any:
        return RefusalSerializer(self.context["facts"].refusals, many=True).data

    @extend_schema_field(CostSerializer(allow_null=True))
    def get_cost_nanousd(self, preflight: Preflight) -> Any:
        money = self.context["facts"].money
        return CostSerializer(money).data if money is not None else None


class StartSerializer(RequestSerializer):
    name = serializers.CharField(max_length=160, required=False, default="", allow_blank=True)


class EventsQuery(QuerySerializer):
    after = serializers.IntegerField(
        required=False, default=0, min_value=0, max_value=10**15, help_text="What `next` of the answer before said."
    )


class EventsSerializer(serializers.Serializer[Any]):
    """Events of the engine as docs/training-engine.md lists them; `next` is the `after` to ask for then."""

    events = serializers.ListField(child=serializers.DictField())
    next = serializers.IntegerField()


class CheckpointSerializer(serializers.ModelSerializer[Checkpoint]):
    class Meta:
        model = Checkpoint
        fields = ("uid", "step", "size_bytes", "digest", "created_at")
