"""Evaluations with their outputs and scores, and the looks at test sets."""

from django.contrib import admin

from apps.core.admin import JobAdmin, ReadOnlyAdmin
from apps.evaluation.models import Evaluation, Leaderboard, Output, Score, TestLook


@admin.register(Evaluation)
class EvaluationAdmin(JobAdmin):
    list_display = ("__str__", "purpose", *JobAdmin.job_columns)
    list_filter = (*JobAdmin.list_filter, "purpose", "split", "experiment__team")
    search_fields = ("candidate__name", "experiment__name", "uid")
    list_select_related = ("candidate", "experiment")


@admin.register(Output)
class OutputAdmin(ReadOnlyAdmin):
    list_display = ("uid", "example_id", "repeat", "finish_reason", "error", "latency_ms", "cost_nanousd", "created_at")
    list_filter = ("error", "finish_reason", "cached")
    search_fields = ("uid", "example_id", "evaluation__candidate__name")


@admin.register(Score)
class ScoreAdmin(ReadOnlyAdmin):
    list_display = ("uid", "metric", "value", "unscored_reason", "created_at")
    list_filter = ("metric",)
    search_fields = ("uid", "output__example_id")


@admin.register(TestLook)
class TestLookAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "experiment", "dataset_version", "decision", "actor")
    list_filter = ("created_at",)
    search_fields = ("decision", "experiment__name", "uid")
    list_select_related = ("experiment", "dataset_version__dataset", "actor")


@admin.register(Leaderboard)
class LeaderboardAdmin(ReadOnlyAdmin):
    list_display = ("experiment", "ended_count", "computed_at")
    search_fields = ("experiment__name", "uid")
    list_select_related = ("experiment",)
