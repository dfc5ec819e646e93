"""Prices, budgets, held and spent money. All of it changes through services alone."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import TabularInline

from apps.billing import services
from apps.billing.models import (
    Alert,
    AlertDelivery,
    AlertDestination,
    Budget,
    BudgetPeriod,
    CachedResponse,
    LedgerEntry,
    Price,
    ProviderState,
    Reservation,
    ReservationHold,
)
from apps.core.admin import ReadOnlyAdmin
from apps.core.formats import money_text


@admin.register(Price)
class PriceAdmin(ReadOnlyAdmin):
    list_display = ("served_name", "team", "unit", "per_hour", "assumed", "source", "valid_from")
    list_filter = ("assumed", "unit", "team")
    search_fields = ("served_name", "source", "uid")
    list_select_related = ("team",)

    @admin.display(description=_("per hour"), ordering="nanousd_per_hour")
    def per_hour(self, row: Price) -> str:
        return money_text(row.nanousd_per_hour)


class BudgetPeriodInline(TabularInline):
    model = BudgetPeriod
    fields = readonly_fields = ("key", "limit_nanousd", "spent_nanousd", "held_nanousd")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Budget)
class BudgetAdmin(ReadOnlyAdmin):
    list_display = ("team", "experiment", "person", "api_key", "period", "hard", "limit", "created_at", "closed_at")
    list_filter = ("period", "team")
    search_fields = ("team__name", "experiment__name", "uid")
    list_select_related = ("team", "experiment", "person", "api_key")
    inlines = (BudgetPeriodInline,)
    fields = ("team", "experiment", "person", "api_key", "period", "hard", "limit_nanousd", "closed_at")
    readonly_fields = ("team", "experiment", "person", "api_key", "period", "hard", "closed_at")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The limit is the one thing that an operator changes here, through the service; of a closed budget nothing."""
        return (obj is None or obj.closed_at is None) and bool(request.user.has_perm("billing.change_budget"))

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        limit = obj.limit_nanousd
        obj.refresh_from_db()
        services.budget_limit_change(actor=request.user, budget=obj, limit_nanousd=limit)

    @admin.display(description=_("limit"), ordering="limit_nanousd")
    def limit(self, row: Budget) -> str:
        return money_text(row.limit_nanousd)


@admin.register(BudgetPeriod)
class BudgetPeriodAdmin(ReadOnlyAdmin):
    list_display = ("budget", "key", "spent", "held", "limit")
    list_filter = ("budget__period", "budget__team")
    search_fields = ("key", "budget__team__name", "uid")
    list_select_related = ("budget",)

    @admin.display(description=_("spent"), ordering="spent_nanousd")
    def spent(self, row: BudgetPeriod) -> str:
        return money_text(row.spent_nanousd)

    @admin.display(description=_("held"), ordering="held_nanousd")
    def held(self, row: BudgetPeriod) -> str:
        return money_text(row.held_nanousd)

    @admin.display(description=_("limit"), ordering="limit_nanousd")
    def limit(self, row: BudgetPeriod) -> str:
        return money_text(row.limit_nanousd)


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "team", "language_model", "purpose", "attempt", "state", "held", "sent_at", "holder")
    list_filter = ("state", "team", "language_model__kind")
    search_fields = ("purpose", "holder", "uid")
    list_select_related = ("team", "language_model")
    actions = ("sweep",)

    @admin.display(description=_("held"), ordering="held_nanousd")
    def held(self, row: Reservation) -> str:
        return money_text(row.held_nanousd)

    @admin.action(description=_("Close what dead processes left open"))
    def sweep(self, request: HttpRequest, queryset: QuerySet[Reservation]) -> None:
        count = len(services.reservations_sweep())
        said = ngettext("%(n)d reservation was closed.", "%(n)d reservations were closed.", count) % {"n": count}
        self.message_user(request, said, messages.SUCCESS)


@admin.register(ReservationHold)
class ReservationHoldAdmin(ReadOnlyAdmin):
    list_display = ("reservation", "budget_period")
    search_fields = ("reservation__purpose", "reservation__uid")
    list_select_related = ("reservation", "budget_period__budget")


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "team", "reservation", "kind", "amount", "prompt_tokens", "completion_tokens")
    list_filter = ("kind", "team", "created_at")
    search_fields = ("reservation__purpose", "evidence", "uid")
    list_select_related = ("team", "reservation")

    @admin.display(description=_("amount"), ordering="amount_nanousd")
    def amount(self, row: LedgerEntry) -> str:
        return money_text(row.amount_nanousd)


@admin.register(ProviderState)
class ProviderStateAdmin(ReadOnlyAdmin):
    list_display = ("provider_key", "failures", "not_before")
    search_fields = ("provider_key__name",)
    list_select_related = ("provider_key",)


@admin.register(CachedResponse)
class CachedResponseAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "team", "key", "cost")
    list_filter = ("team",)
    search_fields = ("key", "uid")
    list_select_related = ("team",)

    @admin.display(description=_("cost of the original"), ordering="cost_nanousd")
    def cost(self, row: CachedResponse) -> str:
        return money_text(row.cost_nanousd)


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "team", "kind", "level", "budget_period", "language_model", "prepared_at")
    list_filter = ("kind", "level", "team")
    search_fields = ("team__name", "uid")
    list_select_related = ("team", "budget_period__budget", "language_model")


@admin.register(AlertDestination)
class AlertDestinationAdmin(ReadOnlyAdmin):
    list_display = ("team", "kind", "address", "created_at", "removed_at")
    list_filter = ("kind", "team")
    search_fields = ("address", "uid")
    list_select_related = ("team",)
    exclude = ("secret",)


@admin.register(AlertDelivery)
class AlertDeliveryAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "destination", "alert", "state", "attempts", "next_attempt_at", "closed_at")
    list_filter = ("state", "destination__kind", "destination__team")
    search_fields = ("recipient", "destination__address", "uid")
    list_select_related = ("destination", "alert")
