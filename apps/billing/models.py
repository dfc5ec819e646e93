"""Prices, budgets, held and spent money. Money is an integer of nano-dollars (10⁻⁹ USD)."""

from django.conf import settings
from django.db import models
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from apps.billing.engine.rates import TokenRates
from apps.core.encryption import SealedField
from apps.core.models import ScopedModel


class Price(ScopedModel):
    """A dated price of a model, never changed: a new price is a new row. Null team: for every team."""

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, null=True, related_name="prices")
    # A model's served name, or "*" for everything that runs on the team's own machine (local, trained, baseline).
    served_name = models.CharField(max_length=160)
    unit = models.CharField(max_length=20, choices=[("compute_hour", _("hour of computing")), ("token", _("token"))])
    nanousd_per_hour = models.PositiveBigIntegerField(null=True)
    # Of tokens: `TokenRates.to_json`, in nano-dollars per million.
    rates = models.JSONField(null=True)
    rates_hash = models.CharField(max_length=64, blank=True)
    assumed = models.BooleanField(default=False)
    source = models.CharField(max_length=120)
    # The version of the data that it was read from; empty for what a person set.
    data_version = models.CharField(max_length=60, blank=True)
    valid_from = models.DateTimeField()

    class Meta:
        verbose_name = _("price")
        ordering = ["-valid_from", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["served_name", "data_version", "rates_hash"],
                condition=models.Q(team=None) & ~models.Q(rates_hash=""),
                name="price_published_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.served_name} from {self.valid_from:%Y-%m-%d}"

    @cached_property
    def token_rates(self) -> TokenRates | None:
        """`rates` as they are computed with; read once, since a row never changes."""
        return None if self.rates is None else TokenRates.from_json(self.rates)


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
    # At most one of the three is named; with none, the budget is the whole team's.
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="budgets")
    api_key = models.ForeignKey("accounts.APIKey", on_delete=models.PROTECT, null=True, related_name="budgets")
    period = models.CharField(max_length=10, choices=Period.choices, default=Period.TOTAL)
    limit_nanousd = models.PositiveBigIntegerField()
    # A soft budget counts and tells, and refuses nothing.
    hard = models.BooleanField(default=True)
    # A closed budget covers no new call. Its counters stay readable, and calls that held money in it settle there.
    closed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("budget")
        constraints = [
            models.UniqueConstraint(
                fields=["team", "experiment", "person", "api_key", "period", "hard"],
                condition=models.Q(closed_at=None),
                name="budget_open_unique",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=(
                    models.Q(experiment=None, person=None)
                    | models.Q(experiment=None, api_key=None)
                    | models.Q(person=None, api_key=None)
                ),
                name="budget_of_one_thing",
            ),
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
    # The highest level that was told under this limit, in percent, and whether a refused call was.
    told_percent = models.PositiveSmallIntegerField(default=0, db_default=0)
    told_refusal = models.BooleanField(default=False, db_default=False)

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
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    api_key = models.ForeignKey("accounts.APIKey", on_delete=models.PROTECT, null=True, related_name="+")
    provider_key = models.ForeignKey("providers.ProviderKey", on_delete=models.PROTECT, null=True, related_name="+")
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
        indexes = [
            models.Index(fields=["state", "expires_at"], name="reservation_open"),
            models.Index(fields=["provider_key"], condition=models.Q(state="held"), name="reservation_under_way"),
            models.Index(fields=["provider_key", "created_at"], name="reservation_of_provider_key"),
        ]

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
    """What one call cost: money spent, or saved by an answer that was paid for before.

    Rows are only ever added; a correction is a second row. An entry says by itself whose it is and by which price, so
    that what was spent can be summed without reading anything else. Its uid is the id of the answer that a caller gets.
    """

    class Kind(models.TextChoices):
        SETTLED = "settled", _("Settled")
        UNKNOWN = "unknown", _("Unknown, booked at its bound")
        CORRECTION = "correction", _("Correction")
        CACHED = "cached", _("Answered from the cache")

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="ledger_entries")
    # Null for an answer from the cache, for which nothing was held.
    reservation = models.ForeignKey(Reservation, on_delete=models.PROTECT, null=True, related_name="entries")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    amount_nanousd = models.BigIntegerField()
    saved_nanousd = models.PositiveBigIntegerField(default=0)
    experiment = models.ForeignKey("experiments.Experiment", on_delete=models.PROTECT, null=True, related_name="+")
    language_model = models.ForeignKey("providers.LanguageModel", on_delete=models.PROTECT, related_name="+")
    # The price that the amount was computed with, and through it the version of the data; null for a cached answer.
    price = models.ForeignKey(Price, on_delete=models.PROTECT, null=True, related_name="+")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    api_key = models.ForeignKey("accounts.APIKey", on_delete=models.PROTECT, null=True, related_name="+")
    purpose = models.CharField(max_length=200)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cached_prompt_tokens = models.PositiveIntegerField(default=0)
    reasoning_tokens = models.PositiveIntegerField(default=0)
    compute_seconds = models.FloatField(null=True)
    latency_ms = models.FloatField(null=True)
    evidence = models.TextField(blank=True)

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger entries")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["reservation"], condition=~models.Q(kind="correction"), name="ledger_one_entry_per_reservation"
            ),
            models.CheckConstraint(
                condition=models.Q(kind="cached", reservation=None, amount_nanousd=0)
                | ~models.Q(kind="cached") & models.Q(reservation__isnull=False, price__isnull=False),
                name="ledger_entry_of_a_call",
            ),
        ]
        indexes = [
            models.Index(fields=["team", "created_at"], name="ledger_entry_of_day"),
            # Few among many: those that somebody may have to correct.
            models.Index(fields=["team", "id"], condition=models.Q(kind="unknown"), name="ledger_entry_unknown"),
        ]

    def __str__(self) -> str:
        return f"{self.amount_nanousd} n$ {self.kind}"


class ProviderState(models.Model):
    """What a provider said or did last on one key: whether, and until when, it is left alone."""

    provider_key = models.OneToOneField("providers.ProviderKey", on_delete=models.CASCADE, related_name="state_row")
    failures = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("state of a provider")

    def __str__(self) -> str:
        return f"{self.provider_key_id}: {self.failures} failures"


class CachedResponse(ScopedModel):
    """A stored answer. The key covers model, revision, messages, parameters and the repeat index."""

    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="cached_responses")
    key = models.CharField(max_length=64)
    language_model = models.ForeignKey("providers.LanguageModel", on_delete=models.CASCADE, null=True, related_name="+")
    result = models.JSONField()
    cost_nanousd = models.PositiveBigIntegerField()
    # Null: kept until somebody purges it.
    expires_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("cached response")
        indexes = [models.Index(fields=["expires_at"], name="cached_response_end")]
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="cached_response_key")]

    def __str__(self) -> str:
        return self.key


class Alert(ScopedModel):
    """Something about money that somebody is told: recorded in the transaction that made it true, sent afterwards.

    `spent` has a level of 50, 80 or 100 percent; `refused` and `overrun` have 0. Of an overrun, `spent_nanousd` is what
    the first such call of the day cost and `held_nanousd` what was held for it.
    """

    class Kind(models.TextChoices):
        SPENT = "spent", _("Level of a budget reached")
        REFUSED = "refused", _("Call refused by a budget")
        OVERRUN = "overrun", _("Call dearer than what was held")

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="alerts")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    level = models.PositiveSmallIntegerField(default=0)
    budget_period = models.ForeignKey(BudgetPeriod, on_delete=models.PROTECT, null=True, related_name="alerts")
    language_model = models.ForeignKey("providers.LanguageModel", on_delete=models.PROTECT, null=True, related_name="+")
    # In UTC; of an overrun alone.
    day = models.DateField(null=True)
    limit_nanousd = models.PositiveBigIntegerField()
    spent_nanousd = models.PositiveBigIntegerField()
    held_nanousd = models.PositiveBigIntegerField()
    # What the refused call might have cost; null unless one was refused.
    needed_nanousd = models.PositiveBigIntegerField(null=True)
    # When its deliveries were written down.
    prepared_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("alert")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["budget_period", "kind", "level", "limit_nanousd"],
                condition=models.Q(budget_period__isnull=False),
                name="alert_once",
            ),
            models.UniqueConstraint(
                fields=["language_model", "day"], condition=models.Q(kind="overrun"), name="alert_of_overrun_once"
            ),
            models.CheckConstraint(
                condition=models.Q(kind="overrun", budget_period=None, language_model__isnull=False, day__isnull=False)
                | (~models.Q(kind="overrun") & models.Q(budget_period__isnull=False)),
                name="alert_of_something",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(prepared_at=None), name="alert_unprepared"),
            models.Index(fields=["team", "id"], name="alert_of_team"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.level}"


class AlertDestination(ScopedModel):
    """Where a team's alerts go. A removed one keeps its row, for the deliveries that went there."""

    class Kind(models.TextChoices):
        EMAIL = "email", _("E-mail")
        WEBHOOK = "webhook", _("Signed webhook")
        CHAT = "chat", _("Chat webhook, as Slack has them")

    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="alert_destinations")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    # An e-mail address, blank for the team's owners and admins; a webhook's URL; of a chat's URL, which is a secret as
    # a whole, the host and the end.
    address = models.CharField(max_length=500, blank=True)
    # What a webhook is signed with, or the URL of a chat.
    secret = SealedField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    removed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("place for alerts")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "kind", "address"],
                condition=models.Q(removed_at=None) & ~models.Q(kind="chat"),
                name="alert_destination_once",
            ),
            models.CheckConstraint(
                condition=models.Q(removed_at=None) | models.Q(secret=""), name="alert_destination_removed"
            ),
        ]

    def __str__(self) -> str:
        return self.address or str(_("Owners and admins"))

    @property
    def secret_context(self) -> str:
        """What the secret is sealed for: it cannot be read in another row."""
        return f"alert_destination:{self.uid}"


class AlertDelivery(ScopedModel):
    """One message to one place: pending → sent | failed | not_sent, and pending again until the last try."""

    team_path = "destination__team"

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Failed")
        NOT_SENT = "not_sent", _("Not sent")

    # Null: a test that somebody asked for.
    alert = models.ForeignKey(Alert, on_delete=models.PROTECT, null=True, related_name="deliveries")
    destination = models.ForeignKey(AlertDestination, on_delete=models.PROTECT, related_name="deliveries")
    # The e-mail address; blank for the others.
    recipient = models.CharField(max_length=254, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    # Until then a process tries to send it; after that the process is taken for dead.
    claimed_until = models.DateTimeField(null=True)
    # Why the last try did not succeed, or why there was none.
    error = models.TextField(blank=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("delivery of an alert")
        verbose_name_plural = _("deliveries of alerts")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["alert", "destination", "recipient"], name="alert_delivery_once"),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=models.Q(state="pending"), name="alert_delivery_due")
        ]

    def __str__(self) -> str:
        return f"{self.state} after {self.attempts}"
