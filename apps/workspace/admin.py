"""The jobs that run experiments, and what was tried in the playground."""

from django.contrib import admin

from apps.core.admin import JobAdmin, ReadOnlyAdmin
from apps.workspace.models import ExperimentRun, PlaygroundAnswer, PlaygroundRun, PlaygroundTurn


@admin.register(ExperimentRun)
class QuickstartAdmin(JobAdmin):
    list_display = ("__str__", "team", "experiment", *JobAdmin.job_columns)
    list_filter = (*JobAdmin.list_filter, "team")
    search_fields = ("definition_hash", "team__name", "uid")
    list_select_related = ("team", "experiment")


@admin.register(PlaygroundRun)
class PlaygroundRunAdmin(ReadOnlyAdmin):
    list_display = ("uid", "team", "created_by", "created_at")
    list_filter = ("team", "created_at")
    search_fields = ("uid", "created_by__email")
    list_select_related = ("team", "created_by")


@admin.register(PlaygroundAnswer)
class PlaygroundAnswerAdmin(ReadOnlyAdmin):
    list_display = ("run", "number", "model_name", "error_code", "cost_nanousd", "latency_ms", "created_at")
    list_filter = ("run__team", "created_at")
    search_fields = ("run__uid", "model_name", "generation_uid")
    list_select_related = ("run",)


@admin.register(PlaygroundTurn)
class PlaygroundTurnAdmin(ReadOnlyAdmin):
    list_display = ("run", "number", "holder", "created_at", "expires_at")
    list_filter = ("run__team", "created_at")
    search_fields = ("run__uid", "holder")
    list_select_related = ("run",)
