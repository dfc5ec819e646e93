"""The shapes of a fine-tuning run in the API."""

from typing import Any

from rest_framework import serializers

from apps.training.models import Checkpoint, TrainingRun
from apps.training.plan import METHODS, PRESETS
from apps.training.queueing import queue_position


class FineTuneSerializer(serializers.Serializer[Any]):
    """What to train. `spec` replaces fields of the preset by name, as docs/training-engine.md lists them."""

    name = serializers.CharField(max_length=160, required=False, default="", allow_blank=True)
    dataset_version = serializers.UUIDField()
    base_model = serializers.UUIDField()
    prompt_version = serializers.UUIDField()
    method = serializers.ChoiceField(choices=list(METHODS), default="lora")
    preset = serializers.ChoiceField(choices=list(PRESETS), default="balanced")
    max_examples = serializers.IntegerField(min_value=1, required=False)
    leave_out_long = serializers.BooleanField(default=False)
    spec = serializers.DictField(required=False, default=dict)


class TrainingRunSerializer(serializers.ModelSerializer[TrainingRun]):
    """One run. `queue_position` counts the jobs before it, and is null unless it waits."""

    team = serializers.CharField(source="team.slug")
    base_model = serializers.UUIDField(source="base_model.uid")
    model = serializers.UUIDField(source="language_model.uid")
    dataset_version = serializers.UUIDField(source="dataset_version.uid")
    prompt_version = serializers.UUIDField(source="prompt_version.uid")
    queue_position = serializers.SerializerMethodField()

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


class CheckpointSerializer(serializers.ModelSerializer[Checkpoint]):
    class Meta:
        model = Checkpoint
        fields = ("uid", "step", "size_bytes", "digest", "created_at")
