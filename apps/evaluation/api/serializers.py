"""The shape of an experiment in the API."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.api.shapes import RequestSerializer
from apps.evaluation.engine.metrics import scoring_for
from apps.evaluation.models import Evaluation, TestLook
from apps.experiments.models import Candidate, Experiment


class CandidateSerializer(serializers.ModelSerializer[Candidate]):
    """One contender. One that is `late` was made after results were seen: nothing is decided by it."""

    kind = serializers.CharField()
    model = serializers.CharField(source="language_model.name")
    model_uid = serializers.UUIDField(source="language_model.uid")
    prompt_version = serializers.UUIDField(source="prompt_version.uid", default=None, allow_null=True)

    class Meta:
        model = Candidate
        fields = (
            "uid",
            "name",
            "kind",
            "model",
            "model_uid",
            "prompt_version",
            "parameters",
            "late",
            "frozen_at",
        )


class ExperimentSerializer(serializers.ModelSerializer[Experiment]):
    """One experiment with its candidates. `report` is null until the report is written.

    `previous` is the version of the same question that this one changes.
    """

    owner = serializers.EmailField(source="created_by.email", default=None, allow_null=True)
    previous = serializers.UUIDField(source="previous.uid", default=None, allow_null=True)
    team = serializers.CharField(source="team.slug")
    state = serializers.CharField()
    dataset_version = serializers.SerializerMethodField()
    reference = serializers.CharField(source="reference.name", default=None, allow_null=True)
    candidates = serializers.SerializerMethodField()
    conclusion = serializers.SerializerMethodField()
    report = serializers.SerializerMethodField()

    class Meta:
        model = Experiment
        fields = (
            "uid",
            "team",
            "name",
            "question",
            "owner",
            "notes",
            "version_number",
            "previous",
            "state",
            "dataset_version",
            "metrics",
            "primary_metric",
            "reference",
            "margin",
            "alpha",
            "family",
            "candidates",
            "conclusion",
            "created_at",
            "registered_at",
            "finished_at",
            "report",
        )

    def get_dataset_version(self, experiment: Experiment) -> dict[str, Any]:
        version = experiment.dataset_version
        return {"dataset": str(version.dataset.uid), "number": version.number, "content_hash": version.content_hash}

    @extend_schema_field(CandidateSerializer(many=True))
    def get_candidates(self, experiment: Experiment) -> Any:
        return CandidateSerializer(self.context["candidates"], many=True).data

    def get_conclusion(self, experiment: Experiment) -> dict[str, str] | None:
        if not experiment.conclusion_kind:
            return None
        return {"kind": experiment.conclusion_kind, "text": experiment.conclusion_text}

    def get_report(self, experiment: Experiment) -> str | None:
        return self.context["report_url"] if experiment.report_artifact else None


_ABOVE_ZERO = {"type": "number", "format": "double", "minimum": 0, "exclusiveMinimum": True}


@extend_schema_field(_ABOVE_ZERO)
class MarginField(serializers.FloatField):
    """The smallest difference that matters."""


@extend_schema_field({**_ABOVE_ZERO, "maximum": 1, "exclusiveMaximum": True})
class AlphaField(serializers.FloatField):
    """A significance level."""


class ExperimentChangeSerializer(RequestSerializer):
    """The part of a draft's definition that changes; the rest stays."""

    name = serializers.CharField(max_length=160, required=False)
    question = serializers.CharField(required=False)
    metrics = serializers.ListField(child=serializers.CharField(), required=False, allow_empty=False)
    primary_metric = serializers.CharField(required=False, help_text="One of `metrics`.")
    margin = MarginField(required=False, help_text="In units of the primary metric.")
    alpha = AlphaField(required=False)


def require_metrics(answer: dict[str, Any], names: Sequence[str]) -> None:
    """ValidationError unless answers of this kind have every one of these metrics."""
    possible = scoring_for(answer).metrics
    unknown = [name for name in names if name not in possible]
    if unknown:
        said = _("%(names)s: no metric of these answers. Choose from %(known)s.") % {
            "names": ", ".join(unknown),
            "known": ", ".join(possible),
        }
        raise serializers.ValidationError({"metrics": [said]})


class NotesSerializer(RequestSerializer):
    notes = serializers.CharField(max_length=20_000, allow_blank=True, trim_whitespace=False)


class LookSerializer(serializers.ModelSerializer[TestLook]):
    """One look at test rows. `candidate` is null where a whole report was looked at."""

    experiment = serializers.UUIDField(source="experiment.uid")
    candidate = serializers.CharField(source="evaluation.candidate.name", default=None, allow_null=True)

    class Meta:
        model = TestLook
        fields = ("experiment", "candidate", "decision", "created_at")


class ExperimentRowSerializer(serializers.ModelSerializer[Experiment]):
    """One experiment of the list."""

    state = serializers.CharField()
    reference = serializers.CharField(source="reference.name", default=None, allow_null=True)
    dataset_version = serializers.UUIDField(source="dataset_version.uid")
    candidate_count = serializers.IntegerField()

    class Meta:
        model = Experiment
        fields = (
            "uid",
            "name",
            "question",
            "version_number",
            "state",
            "dataset_version",
            "primary_metric",
            "reference",
            "candidate_count",
            "conclusion_kind",
            "conclusion_text",
            "created_at",
            "finished_at",
        )


class EvaluationSerializer(serializers.ModelSerializer[Evaluation]):
    """One candidate asked about the rows of one split; `done` of `total` examples are answered."""

    experiment = serializers.UUIDField(source="experiment.uid")
    candidate = serializers.UUIDField(source="candidate.uid")
    candidate_name = serializers.CharField(source="candidate.name")
    status = serializers.CharField()
    split = serializers.CharField()
    purpose = serializers.CharField()

    class Meta:
        model = Evaluation
        fields = (
            "uid",
            "experiment",
            "candidate",
            "candidate_name",
            "split",
            "purpose",
            "status",
            "done",
            "total",
            "error",
            "created_at",
            "started_at",
            "finished_at",
        )
