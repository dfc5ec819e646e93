"""The jobs that run experiments."""

from django.contrib import admin

from apps.core.admin import JobAdmin
from apps.workspace.models import ExperimentRun


@admin.register(ExperimentRun)
class QuickstartAdmin(JobAdmin):
    list_display = ("__str__", "team", "experiment", *JobAdmin.job_columns)
    list_filter = (*JobAdmin.list_filter, "team")
    search_fields = ("definition_hash", "team__name", "uid")
    list_select_related = ("team", "experiment")
