"""Reading prices, budgets, spent and held money."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum, Value, Window
from django.db.models.functions import Coalesce, RowNumber, Substr
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.billing import pricing
from apps.billing.engine.price_choice import ANY_LOCAL_MODEL, PER_HOUR, PER_TOKEN, price_that_holds
from apps.billing.errors import UnknownPrice
from apps.billing.models import Budget, BudgetPeriod, LedgerEntry, Price, Reservation, ReservationHold
from apps.core import audit
from apps.experiments.models import PromptVersion
from apps.providers.models import LanguageModel

_PURPOSE_LENGTH = len("output:") + 36
LOCAL_KINDS = frozenset({LanguageModel.Kind.BASELINE, LanguageModel.Kind.LOCAL, LanguageModel.Kind.TRAINED})


@dataclass(frozen=True, slots=True)
class SpentAndHeld:
    """Nano-dollars. `unknown_nanousd` is the part of what is spent that was booked at its bound and never corrected;
    None where nobody asked for it.
    """

    spent_nanousd: int
    held_nanousd: int
    unknown_nanousd: int | None = None
    # Whether a price that somebody assumed has a part in it.
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class BudgetCounters:
    """A budget with its counters, newest period first; no counter exists before the first call of a period."""

    budget: Budget
    periods: tuple[BudgetPeriod, ...]


def price_for(team_id: int, *, kind: str, served_name: str, provider: str = "", provider_model: str = "") -> Price:
    """The price that holds now: for this very model before any local one, the team's own first, then the latest; for a
    provider's model without one, what the provider publishes, which may be a row that is not stored yet.

    UnknownPrice when there is none: such a model must not be called.
    """
    now = timezone.now()
    runs_here = kind in LOCAL_KINDS
    names = [served_name, ANY_LOCAL_MODEL] if runs_here else [served_name]
    rows = price_candidates(team_id, names, now, at_provider=bool(provider))
    price = price_that_holds(rows, served_name=served_name, runs_here=runs_here, at_provider=bool(provider), at=now)
    if price is None and provider:
        price = pricing.published(served_name=served_name, provider=provider, provider_model=provider_model)
    if price is None:
        raise UnknownPrice(
            _("The model %(name)s has no price, so it is not called. Add a price for it first.") % {"name": served_name}
        )
    return price


def price_candidates(team_id: int, names: Iterable[str], at: datetime, *, at_provider: bool = False) -> QuerySet[Price]:
    """Rows for `price_that_holds` in one query, few however often prices were set: of each name the latest of the team
    and, unless only what runs `at_provider` is asked for, the latest for every team.
    """
    mine = Q(team_id=team_id) if at_provider else Q(team_id=team_id) | Q(team_id=None)
    begun = Price.objects.filter(mine, served_name__in=names, valid_from__lte=at)
    usable = begun.exclude(unit=PER_HOUR, nanousd_per_hour__isnull=True).exclude(unit=PER_TOKEN, rates__isnull=True)
    place = Window(RowNumber(), partition_by=["team_id", "served_name"], order_by=["-valid_from", "-id"])
    return usable.annotate(place=place).filter(place=1).order_by()


def price_of(model: LanguageModel) -> Price:
    """The price that holds now for a model. UnknownPrice when it has none."""
    return price_for(
        model.team_id,
        kind=model.kind,
        served_name=model.served_name,
        provider=model.provider,
        provider_model=model.provider_model,
    )


def spent_and_held(team: Any) -> SpentAndHeld:
    """Everything that `team` has spent and holds, in all its experiments. What of it is unknown is not asked for."""
    return _spent_and_held(Reservation.objects.filter(team=team), LedgerEntry.objects.filter(team=team))


def experiment_cost(experiment: Any) -> SpentAndHeld:
    """What one experiment has spent and holds."""
    entries = LedgerEntry.objects.filter(experiment=experiment)
    corrected = LedgerEntry.objects.filter(reservation=OuterRef("reservation"), kind=LedgerEntry.Kind.CORRECTION)
    uncorrected = entries.filter(kind=LedgerEntry.Kind.UNKNOWN).exclude(Exists(corrected))
    money = _spent_and_held(Reservation.objects.filter(experiment=experiment), entries)
    return replace(money, unknown_nanousd=_sum(uncorrected, "amount_nanousd"))


def spent_by_experiment(experiment_ids: list[int]) -> dict[int, int]:
    """Nano-dollars spent, by experiment id, in one query; an experiment without an entry is left out."""
    entries = LedgerEntry.objects.filter(experiment__in=experiment_ids).order_by()
    sums = entries.values_list("experiment").annotate(total=Sum("amount_nanousd"))
    return {experiment: int(total) for experiment, total in sums}


def spent_by_purpose(experiment: Any) -> dict[str, tuple[int, int, int]]:
    """(spent, held, calls) of an experiment by the first two parts of what its calls were for: `output:<uid>`."""
    reservations = Reservation.objects.filter(experiment=experiment).order_by()
    open_holds = Q(state=Reservation.State.HELD)
    grouped = reservations.annotate(kind=Substr("purpose", 1, _PURPOSE_LENGTH)).values("kind")
    found = {
        row["kind"]: (0, int(row["held"]), int(row["calls"]))
        for row in grouped.annotate(held=Coalesce(Sum("held_nanousd", filter=open_holds), Value(0)), calls=Count("id"))
    }
    entries = LedgerEntry.objects.filter(experiment=experiment, reservation__isnull=False).order_by()
    paid = entries.annotate(kind_of=Substr("purpose", 1, _PURPOSE_LENGTH)).values("kind_of")
    for row in paid.annotate(total=Sum("amount_nanousd")):
        found[row["kind_of"]] = (int(row["total"]), *found[row["kind_of"]][1:])
    return found


def price_is_assumed(model: LanguageModel) -> bool:
    """Whether somebody assumed the price that holds now for a model; UnknownPrice when it has none."""
    return price_of(model).assumed


def trained_prompt(model: LanguageModel) -> PromptVersion | None:
    """The prompt that a model was trained with, by the hash that its training froze."""
    content = str(model.facts.get("prompt") or "")
    if not content:
        return None
    versions = PromptVersion.objects.filter(prompt__team=model.team, content_hash=content)
    found: PromptVersion | None = versions.select_related("prompt").first()
    return found


@dataclass(frozen=True, slots=True)
class MeasuredSpeed:
    """Generated tokens per second of computing, over every booked call of a model."""

    tokens_per_second: float
    calls: int


def speeds_by_model(team: Any) -> dict[int, MeasuredSpeed]:
    """What was measured of each model of a team, by its id, in one query; one that was never called is left out."""
    booked = LedgerEntry.objects.filter(
        team=team, kind=LedgerEntry.Kind.SETTLED, compute_seconds__gt=0, completion_tokens__gt=0
    ).order_by()
    sums = booked.values_list("language_model").annotate(
        tokens=Sum("completion_tokens"), seconds=Sum("compute_seconds"), calls=Count("id")
    )
    return {model: MeasuredSpeed(tokens / seconds, calls) for model, tokens, seconds, calls in sums}


def held_by(team: Any) -> int:
    """Nano-dollars that a team holds for calls under way."""
    return _sum(Reservation.objects.filter(team=team, state=Reservation.State.HELD), "held_nanousd")


def held_total() -> int:
    """Nano-dollars held by every team together; 0 when no call is under way."""
    return _sum(Reservation.objects.filter(state=Reservation.State.HELD), "held_nanousd")


def _spent_and_held(reservations: QuerySet[Reservation], entries: QuerySet[LedgerEntry]) -> SpentAndHeld:
    return SpentAndHeld(
        spent_nanousd=_sum(entries, "amount_nanousd"),
        held_nanousd=_sum(reservations.filter(state=Reservation.State.HELD), "held_nanousd"),
        assumed=reservations.filter(price__assumed=True).exists(),
    )


def _sum(rows: Any, field: str) -> int:
    return int(rows.aggregate(total=Coalesce(Sum(field), Value(0)))["total"])


def budgets_with_periods(team: Any) -> list[BudgetCounters]:
    """The team's budgets in the order they were made, each with its counters."""
    budgets = Budget.objects.filter(team=team).select_related("experiment").order_by("id")
    periods = list(BudgetPeriod.objects.filter(budget__team=team).order_by("-key"))
    return [
        BudgetCounters(budget, tuple(period for period in periods if period.budget_id == budget.pk))
        for budget in budgets
    ]


def books_problems() -> list[str]:
    """Sentences about everything in the audit trail and the ledger that does not hold; empty when all is well."""
    return [*audit.problems(), *ledger_balance_problems()]


def ledger_balance_problems() -> list[str]:
    """Sentences about everything in the books that does not add up; empty when all is well.

    Every counter equals the sum of its entries and holds, and every reservation has the entry that its state demands.
    """
    return [*_counter_problems(), *_state_problems()]


def _counter_problems() -> list[str]:
    holds = ReservationHold.objects.filter(budget_period=OuterRef("pk")).order_by().values("budget_period")
    spent = holds.annotate(total=Sum("reservation__entries__amount_nanousd")).values("total")
    held = (
        holds.filter(reservation__state=Reservation.State.HELD)
        .annotate(total=Sum("reservation__held_nanousd"))
        .values("total")
    )
    periods = BudgetPeriod.objects.annotate(
        entries_nanousd=Coalesce(Subquery(spent), Value(0)), holds_nanousd=Coalesce(Subquery(held), Value(0))
    )
    wrong = periods.exclude(spent_nanousd=F("entries_nanousd"), held_nanousd=F("holds_nanousd"))
    return [
        f"budget period {period.pk} ({period.key}) shows {period.spent_nanousd} spent and {period.held_nanousd} held, "
        f"but its entries add up to {period.entries_nanousd} and its holds to {period.holds_nanousd}"
        for period in wrong
    ]


def _state_problems() -> list[str]:
    State, Kind = Reservation.State, LedgerEntry.Kind  # noqa: N806 - the classes' own names
    first = Subquery(
        LedgerEntry.objects.filter(reservation=OuterRef("pk")).exclude(kind=Kind.CORRECTION).values("kind")[:1]
    )
    expected = {State.HELD: None, State.RELEASED: None, State.SETTLED: Kind.SETTLED, State.UNKNOWN: Kind.UNKNOWN}
    rows = Reservation.objects.annotate(entry_kind=first)
    problems = []
    for state, kind in expected.items():
        # Without a row the kind is NULL, which a plain "is not" would never find.
        wrong = Q(entry_kind__isnull=False) if kind is None else Q(entry_kind__isnull=True) | ~Q(entry_kind=kind)
        problems += [
            f"reservation {row.pk} ({row.purpose}, attempt {row.attempt}) is {row.state}, "
            f"but its entry is {row.entry_kind}"
            for row in rows.filter(wrong, state=state)
        ]
    return problems
