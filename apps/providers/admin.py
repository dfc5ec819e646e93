"""Models and the keys of providers; a secret is on no page."""

from django.contrib import admin

from apps.core.admin import ReadOnlyAdmin
from apps.providers.models import LanguageModel, ModelFetch, ProviderKey


@admin.register(LanguageModel)
class LanguageModelAdmin(ReadOnlyAdmin):
    list_display = ("name", "team", "kind", "state", "served_name", "provider", "retires_on", "created_at")
    list_filter = ("state", "kind", "provider", "team")
    search_fields = ("name", "served_name", "uid")
    list_select_related = ("team",)


@admin.register(ModelFetch)
class ModelFetchAdmin(ReadOnlyAdmin):
    list_display = ("language_model", "team", "source", "status", "error_code", "created_at")
    list_filter = ("status", "source", "team")
    search_fields = ("language_model__name", "uid")
    list_select_related = ("team", "language_model")


@admin.register(ProviderKey)
class ProviderKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "team", "provider", "source", "last_four", "state", "checked_at", "created_at")
    list_filter = ("state", "provider", "source", "team")
    search_fields = ("name", "uid")
    list_select_related = ("team",)
    exclude = ("secret",)
