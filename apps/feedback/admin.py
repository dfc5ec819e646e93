"""Feedback to look at: only its giver changes it, by page or REST, where an admin of the team may withdraw it."""

from django.contrib import admin

from apps.core.admin import ReadOnlyAdmin
from apps.feedback.models import Feedback


@admin.register(Feedback)
class FeedbackAdmin(ReadOnlyAdmin):
    list_display = ("given_at", "team", "kind", "generation", "rating", "thumb_up", "preferred", "person", "api_key")
    list_filter = ("kind", "team", "given_at")
    search_fields = ("comment", "uid", "generation__uid", "person__email")
    list_select_related = ("team", "generation", "preferred", "person", "api_key")
