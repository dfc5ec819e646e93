"""The shape of an experiment in the API."""

from typing import Any

from rest_framework import serializers

from apps.experiments.models import Candidate, Experiment


class CandidateSerializer(serializers.ModelSerializer[Candidate]):
    model = serializers.CharField(source="language_model.name")

    class Meta:
        model = Candidate
        fields = ("uid", "name", "kind", "model", "parameters", "frozen_at")


class ExperimentSerializer(serializers.ModelSerializer[Experiment]):
    """One experiment with its candidates. `report` is null until the report is written."""

    team = serializers.CharField(source="team.slug")
    dataset_version = serializers.SerializerMethodField()
    reference = serializers.CharField(source="reference.name", default=None)
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
            "version_number",
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

    def get_candidates(self, experiment: Experiment) -> Any:
        return CandidateSerializer(self.context["candidates"], many=True).data

    def get_conclusion(self, experiment: Experiment) -> dict[str, str] | None:
        if not experiment.conclusion_kind:
            return None
        return {"kind": experiment.conclusion_kind, "text": experiment.conclusion_text}

    def get_report(self, experiment: Experiment) -> str | None:
        return self.context["report_url"] if experiment.report_artifact else None
