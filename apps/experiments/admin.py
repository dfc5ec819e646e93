"""Datasets, uploads, prompts, experiments and candidates. Versions and registered definitions never change."""

from django.contrib import admin

from apps.core.admin import JobAdmin, ReadOnlyAdmin
from apps.experiments.models import (
    Candidate,
    Dataset,
    DatasetImport,
    DatasetVersion,
    Experiment,
    Prompt,
    PromptLabel,
    PromptVersion,
    Upload,
)


@admin.register(Dataset)
class DatasetAdmin(ReadOnlyAdmin):
    list_display = ("name", "team", "licence", "split_seed", "created_at")
    list_filter = ("team",)
    search_fields = ("name", "uid")
    list_select_related = ("team",)


@admin.register(DatasetVersion)
class DatasetVersionAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "train_count", "validation_count", "test_count", "content_hash", "created_at")
    list_filter = ("dataset__team",)
    search_fields = ("dataset__name", "content_hash", "uid")
    list_select_related = ("dataset",)


@admin.register(Upload)
class UploadAdmin(JobAdmin):
    list_display = ("name", "team", "size_bytes", *JobAdmin.job_columns)
    list_filter = (*JobAdmin.list_filter, "team")
    search_fields = ("name", "sha256", "uid")
    list_select_related = ("team",)


@admin.register(DatasetImport)
class DatasetImportAdmin(JobAdmin):
    list_display = ("name", "team", "upload", *JobAdmin.job_columns)
    list_filter = (*JobAdmin.list_filter, "team")
    search_fields = ("name", "upload__name", "uid")
    list_select_related = ("team", "upload")


@admin.register(Prompt)
class PromptAdmin(ReadOnlyAdmin):
    list_display = ("name", "team", "created_at")
    list_filter = ("team",)
    search_fields = ("name", "uid")
    list_select_related = ("team",)


@admin.register(PromptVersion)
class PromptVersionAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "content_hash", "created_at")
    list_filter = ("prompt__team",)
    search_fields = ("prompt__name", "content_hash", "uid")
    list_select_related = ("prompt",)


@admin.register(PromptLabel)
class PromptLabelAdmin(ReadOnlyAdmin):
    list_display = ("name", "prompt", "version", "created_at")
    list_filter = ("prompt__team",)
    search_fields = ("name", "prompt__name", "uid")
    list_select_related = ("prompt", "version__prompt")


@admin.register(Experiment)
class ExperimentAdmin(ReadOnlyAdmin):
    list_display = ("name", "team", "state", "primary_metric", "conclusion_kind", "registered_at", "finished_at")
    list_filter = ("state", "team")
    search_fields = ("name", "question", "uid")
    list_select_related = ("team",)


@admin.register(Candidate)
class CandidateAdmin(ReadOnlyAdmin):
    list_display = ("name", "experiment", "kind", "language_model", "trial", "frozen_at")
    list_filter = ("kind", "trial", "experiment__team")
    search_fields = ("name", "experiment__name", "uid")
    list_select_related = ("experiment", "language_model")
