"""What making an experiment takes and answers in the API."""

from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers

from apps.providers.models import LanguageModel
from apps.workspace.models import ExperimentRun


class ExperimentCreateSerializer(serializers.Serializer[Any]):
    """`margin` is the smallest difference that matters, in units of the primary metric."""

    dataset_version = serializers.UUIDField()
    name = serializers.CharField(max_length=160)
    question = serializers.CharField()
    primary_metric = serializers.CharField(required=False, help_text="What the answers suggest, unless told.")
    margin = serializers.FloatField(required=False, default=0.05)
    alpha = serializers.FloatField(required=False, default=0.05)
    budget_usd = serializers.DecimalField(
        required=False,
        allow_null=True,
        max_digits=16,
        decimal_places=9,
        min_value=Decimal("0.000001"),
        max_value=Decimal(1_000_000),
    )


class CandidatesCreateSerializer(serializers.Serializer[Any]):
    """Every model with every prompt version, and free baselines by their method."""

    models = serializers.ListField(child=serializers.UUIDField(), required=False, default=list)
    prompts = serializers.ListField(child=serializers.UUIDField(), required=False, default=list)
    baselines = serializers.ListField(child=serializers.CharField(), required=False, default=list)
    max_tokens = serializers.IntegerField(required=False, min_value=1, max_value=4096)
    temperature = serializers.FloatField(required=False, default=0.0, min_value=0, max_value=2)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not any(attrs[name] for name in ("models", "prompts", "baselines")):
            raise serializers.ValidationError(_("Choose a model with a prompt, or a free baseline."))
        return attrs


class ReferenceSerializer(serializers.Serializer[Any]):
    candidate = serializers.UUIDField()


class CloneSerializer(serializers.Serializer[Any]):
    """With `fresh_test_set` the clone stands on test rows that nobody has seen results of."""

    fresh_test_set = serializers.BooleanField(required=False, default=False)


class ValidationSerializer(serializers.Serializer[Any]):
    started = serializers.IntegerField(help_text="How many candidates are tried on validation now.")


class RunSerializer(serializers.ModelSerializer[ExperimentRun]):
    """The job that runs a final test."""

    experiment = serializers.UUIDField(source="experiment.uid")
    status = serializers.CharField()

    class Meta:
        model = ExperimentRun
        fields = ("uid", "experiment", "status", "phase", "created_at")


class ModelSerializer(serializers.ModelSerializer[LanguageModel]):
    """A model that candidates can use once its state is `ready`."""

    kind = serializers.CharField()
    state = serializers.CharField()

    class Meta:
        model = LanguageModel
        fields = ("uid", "name", "kind", "state", "served_name", "revision", "context_length", "note", "created_at")
