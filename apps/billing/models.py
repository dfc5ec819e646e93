"""Prices, budgets, held and spent money. Money is an integer of nano-dollars (10⁻⁹ USD)."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from apps.core.models import ScopedModel


class Price(ScopedModel):
    """A dated price of a model, never changed: a new price is a new row. Null team: for every team."""

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, null=True, related_name="prices")
    # A model's served name, or "*" for everything that runs on the team's own machine (local, trained, baseline).
    served_name = models.CharField(max_length=160)
    unit = models.CharField(max_length=20, choices=[("compute_hour", _("hour of computing")), ("token", _("token"))])
    nanousd_per_hour = models.PositiveBigIntegerField(null=True)
    assumed = models.BooleanField(default=False)
    source = models.CharField(max_length=120)
    valid_from = models.DateTimeField()

    class Meta:
        verbose_name = _("price")
        ordering = ["-valid_from", "-id"]

    def __str__(self) -> str:
        return f"{self.served_name} from {self.valid_from:%Y-%m-%d}"


class Budget(ScopedModel):
    class Period(models.TextChoices):
        TOTAL = "total", _("Total")
        MONTHLY = "monthly", _("Each month")
        DAILY = "daily", _("Each day")

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="budgets")
    # Null: the whole team.
    experiment = models.ForeignKey(
        "experiments.Experiment", on_delete=models.PROTECT, null=True, related_name="budgets"
    )
    period = models.CharField(max_length=10, choices=Period.choices, default=Period.TOTAL)
    limit_nanousd = models.PositiveBigIntegerField()

    class Meta:
        verbose_name = _("budget")
        constraints = [
            models.UniqueConstraint(fields=["team", "experiment", "period"], name="budget_unique", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return f"{self.get_period_display()}: {self.limit_nanousd} n$"


class BudgetPeriod(ScopedModel):
    """The counter of a budget for one period: what is spent and what is held."""

    team_path = "budget__team"

    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, related_name="periods")
    # "total", "2026-11" or "2026-11-24" in the team's time zone.
    key = models.CharField(max_length=10)
    limit_nanousd = models.PositiveBigIntegerField()
    spent_nanousd = models.PositiveBigIntegerField(default=0)
    held_nanousd = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name = _("budget period")
        constraints = [models.UniqueConstraint(fields=["budget", "key"], name="budget_period_unique")]

    def __str__(self) -> str:
        return f"{self.budget} {self.key}"


class Reservation(ScopedModel):
    """Money held for one attempt at one call."""

    class State(models.TextChoices):
        HELD = "held", _("Held")
        SETTLED = "settled", _("Settled")
        RELEASED = "released", _("Released")
        UNKNOWN = "unknown", _("Unknown")

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="reservations")
    experiment = models.ForeignKey(
        "experiments.Experiment", on_delete=models.PROTECT, null=True, related_name="reservations"
    )
    language_model = models.ForeignKey("providers.LanguageModel", on_delete=models.PROTECT, related_name="reservations")
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="reservations")
    # What the call is for: equal for every attempt at the same output.
    purpose = models.CharField(max_length=200)
    attempt = models.PositiveIntegerField(default=1)
    state = models.CharField(max_length=10, choices=State.choices, default=State.HELD)
    held_nanousd = models.PositiveBigIntegerField()
    sent_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    # After this a held reservation belongs to a dead process.
    expires_at = models.DateTimeField()
    # host:pid:start of the process that makes the attempt: a sweep on its machine need not wait for `expires_at`.
    holder = models.CharField(max_length=120, blank=True)

    class Meta:
        verbose_name = _("reservation")
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "expires_at"], name="reservation_open")]

    def __str__(self) -> str:
        return f"{self.purpose} ({self.state})"


class ReservationHold(models.Model):
    """Which budget periods a reservation holds money in."""

    reservation = models.ForeignKey(Reservation, on_delete=models.PROTECT, related_name="holds")
    budget_period = models.ForeignKey(BudgetPeriod, on_delete=models.PROTECT, related_name="holds")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["reservation", "budget_period"], name="reservation_hold_unique")]

    def __str__(self) -> str:
        return f"{self.reservation_id} in {self.budget_period_id}"


class LedgerEntry(ScopedModel):
    """Money spent. Rows are only ever added; a correction is a second row."""

    class Kind(models.TextChoices):
        SETTLED = "settled", _("Settled")
        UNKNOWN = "unknown", _("Unknown, booked at its bound")
        CORRECTION = "correction", _("Correction")

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="ledger_entries")
    reservation = models.ForeignKey(Reservation, on_delete=models.PROTECT, related_name="entries")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    amount_nanousd = models.BigIntegerField()
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    compute_seconds = models.FloatField(null=True)
    evidence = models.TextField(blank=True)

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["reservation"], condition=~models.Q(kind="correction"), name="ledger_one_entry_per_reservation"
            )
        ]

    def __str__(self) -> str:
        return f"{self.amount_nanousd} n$ {self.kind}"


class CachedResponse(ScopedModel):
    """A stored answer. The key covers model, revision, messages, parameters and the repeat index."""

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="cached_responses")
    key = models.CharField(max_length=64)
    result = models.JSONField()
    cost_nanousd = models.PositiveBigIntegerField()

    class Meta:
        verbose_name = _("cached response")
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="cached_response_key")]

    def __str__(self) -> str:
        return self.key
