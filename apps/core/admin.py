"""What every admin page shares: rows that nobody edits by hand, and jobs with their actions."""

from collections.abc import Callable
from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_q.models import Failure, OrmQ, Schedule, Success
from unfold.admin import ModelAdmin

from apps.core import jobs
from apps.core.errors import ApplicationError
from apps.core.models import AuditEvent, Canary, IdempotentAnswer, LiveEvent

# What packages bring along is to look at, or not there at all: on their own pages an operator could queue any function
# of Python, stop the housekeeping or forget a lockout, and no event would tell.
PACKAGE_PAGES: dict[type[Model], tuple[str, ...]] = {
    Schedule: ("name", "func", "cluster", "next_run", "repeats"),
    Failure: ("name", "func", "cluster", "started", "stopped", "result"),
    AccessAttempt: ("attempt_time", "username", "ip_address", "path_info", "failures_since_start"),
}
for _model in (*PACKAGE_PAGES, Success, OrmQ, AccessLog, AccessFailureLog):
    admin.site.unregister(_model)


class ReadOnlyAdmin(ModelAdmin):
    """Rows to look at. They change through services, or never."""

    # Counting millions of outputs for "x of y" would cost more than the page.
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class PackageAdmin(ReadOnlyAdmin):
    """Rows that a package keeps."""

    def __init__(self, model: type[Model], admin_site: Any) -> None:
        self.list_display = self.fields = PACKAGE_PAGES[model]
        super().__init__(model, admin_site)


admin.site.register(list(PACKAGE_PAGES), PackageAdmin)


class JobAdmin(ReadOnlyAdmin):
    """A kind of job: its rows are the queue's and its worker's to write; an operator asks through the services."""

    actions = ("retry", "cancel")
    list_filter: tuple[str, ...] = ("status", "created_at")
    job_columns = ("status", "attempt", "phase", "done", "total", "heartbeat_at", "created_at")

    @admin.action(description=_("Retry or resume the selected jobs"))
    def retry(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._each(request, queryset, jobs.job_resume)

    @admin.action(description=_("Cancel the selected jobs"))
    def cancel(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._each(request, queryset, jobs.job_cancel)

    def _each(self, request: HttpRequest, queryset: QuerySet[Any], change: Callable[..., None]) -> None:
        done = 0
        for row in queryset:
            try:
                change(actor=request.user, row=row)
            except ApplicationError as error:
                self.message_user(request, f"{row}: {error.message}", messages.ERROR)
            else:
                done += 1
        if done:
            self.message_user(request, _("%(n)d jobs were told.") % {"n": done}, messages.SUCCESS)


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "team", "actor_label", "verb", "object_type", "object_uid", "sequence")
    list_filter = ("team", "verb", "created_at")
    search_fields = ("actor_label", "verb", "object_uid")
    list_select_related = ("team",)


@admin.register(LiveEvent)
class LiveEventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "team", "topic", "part")
    list_filter = ("team", "part")
    search_fields = ("topic",)
    list_select_related = ("team",)


@admin.register(Canary)
class CanaryAdmin(ReadOnlyAdmin):
    list_display = ("cluster", "asked_at", "answered_at")
    search_fields = ("cluster",)


@admin.register(IdempotentAnswer)
class IdempotentAnswerAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "actor", "team", "key", "status", "location")
    # What was answered is the team's own.
    fields = list_display
    list_select_related = ("actor",)
