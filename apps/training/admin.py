"""Training runs, what they saved and measured, and the registry."""

from django.contrib import admin

from apps.core.admin import JobAdmin, ReadOnlyAdmin
from apps.training.models import (
    Checkpoint,
    DeviceLease,
    MetricPoint,
    ModelVersion,
    Preflight,
    SampleOutput,
    TrainingRun,
)


@admin.register(TrainingRun)
class TrainingRunAdmin(JobAdmin):
    list_display = ("name", "team", "device", "host_pid", *JobAdmin.job_columns)
    list_filter = (*JobAdmin.list_filter, "team")
    search_fields = ("name", "uid")
    list_select_related = ("team",)


@admin.register(Preflight)
class PreflightAdmin(JobAdmin):
    list_display = ("__str__", "team", "host_pid", *JobAdmin.job_columns)
    list_filter = (*JobAdmin.list_filter, "team")
    search_fields = ("base_model__name", "uid", "digest")
    list_select_related = ("team", "base_model", "dataset_version__dataset")


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    list_display = ("run", "step", "size_bytes", "digest", "created_at")
    list_filter = ("run__team",)
    search_fields = ("run__name", "digest", "uid")
    list_select_related = ("run",)


@admin.register(MetricPoint)
class MetricPointAdmin(ReadOnlyAdmin):
    list_display = ("run", "name", "step", "value")
    list_filter = ("name",)
    search_fields = ("run__name", "name")
    list_select_related = ("run",)


@admin.register(SampleOutput)
class SampleOutputAdmin(ReadOnlyAdmin):
    list_display = ("run", "example_id", "step", "text")
    search_fields = ("run__name", "example_id")
    list_select_related = ("run",)


@admin.register(DeviceLease)
class DeviceLeaseAdmin(ReadOnlyAdmin):
    list_display = ("device", "run", "preflight", "attempt", "expires_at")
    search_fields = ("device",)
    list_select_related = ("run",)


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "team", "aliases", "digest", "created_at")
    list_filter = ("team",)
    search_fields = ("language_model__name", "digest", "uid")
    list_select_related = ("language_model", "team")
