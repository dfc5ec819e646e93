"""Money spent and held over some weeks, budgets in every state, an attempt of unknown cost, and stored answers."""

from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.billing.engine.ledger_facts import period_key
from apps.billing.models import Alert, AlertDelivery, BudgetPeriod, CachedResponse, LedgerEntry, Price, Reservation
from apps.billing.services import (
    alert_destination_create,
    budget_close,
    budget_create,
    local_price_create,
    prices_ensure_local,
)
from apps.experiments.models import Experiment
from apps.providers.models import LanguageModel

DAYS = 26
DOLLAR = 10**9


def look_money(team: Team, owner: User, experiment: Experiment, state: str) -> None:
    """Calls of every day, dearer on some; in the failed state, budgets are full and costs are unknown."""
    price = prices_ensure_local(actor=owner, team=team)
    models = list(LanguageModel.objects.filter(team=team).order_by("id")[:7])
    _budgets(team, owner, experiment, full=state == "failed")
    if state != "running":
        _alerts(team, owner, models[0], failed=state == "failed")
    few = state != "full"
    for day in range(6 if few else DAYS):
        for place, model in enumerate(models[: 2 if few else None]):
            cost = (17 + 13 * place + 7 * (day % 5)) * DOLLAR // 150
            person = owner if place % 2 else None
            made = _call(team, model, price, person, experiment if place % 3 else None, Reservation.State.SETTLED)
            entry = _entry(made, "settled", cost, prompt_tokens=5_200, completion_tokens=310, latency_ms=840.0)
            LedgerEntry.objects.filter(pk=entry.pk).update(created_at=timezone.now() - timedelta(days=day))
    for place, model in enumerate(models[:2]):
        saved = (place + 1) * DOLLAR // 3
        LedgerEntry.objects.create(
            team=team, kind="cached", amount_nanousd=0, saved_nanousd=saved, language_model=model, purpose="look"
        )
        CachedResponse.objects.create(
            team=team, key=f"{place:064x}", language_model=model, result={"text": "Delivery"}, cost_nanousd=saved
        )
    if state == "full":
        _local_prices(team, owner)
    if state == "running":
        _call(team, models[0], price, owner, experiment, Reservation.State.HELD)
    for corrected in (True, False) if state == "failed" else ():
        made = _call(team, models[0], price, owner, experiment, Reservation.State.UNKNOWN)
        _entry(made, "unknown", DOLLAR, evidence="The connection broke after 120 s without an answer.")
        if corrected:
            evidence = "Usage page of the provider, 30 November."
            _entry(made, "correction", DOLLAR // 50 - DOLLAR, evidence=evidence)


def _local_prices(team: Team, owner: User) -> None:
    """The team's own price of an hour in the place of the assumed one, and one that is to come."""
    local_price_create(actor=owner, team=team, nanousd_per_hour=8 * DOLLAR // 100, source="Rent of the machine")
    local_price_create(
        actor=owner,
        team=team,
        nanousd_per_hour=625 * DOLLAR // 10_000,
        source="Rent from the new contract",
        first_day=timezone.now().date() + timedelta(days=40),
    )


def _budgets(team: Team, owner: User, experiment: Experiment, *, full: bool) -> None:
    """One closed, one passed, one with some room or none, one that nothing was called in."""
    closed = budget_create(actor=owner, team=team, limit_nanousd=DOLLAR, experiment=experiment)
    monthly = budget_create(actor=owner, team=team, limit_nanousd=40 * DOLLAR, period="monthly")
    daily = budget_create(actor=owner, team=team, limit_nanousd=DOLLAR // 4, period="daily", person=owner, hard=False)
    budget_create(actor=owner, team=team, limit_nanousd=5 * DOLLAR, experiment=experiment, period="daily")
    now = timezone.now()
    counters = ((closed, 8, 0), (monthly, 380 if full else 214, 20), (daily, 3, 1))
    for budget, spent, held in counters:
        BudgetPeriod.objects.create(
            budget=budget,
            key=period_key(budget.period, now, team.time_zone),
            limit_nanousd=budget.limit_nanousd,
            spent_nanousd=spent * DOLLAR // 10,
            held_nanousd=held * DOLLAR // 10,
        )
    budget_close(actor=owner, budget=closed)


def _alerts(team: Team, owner: User, model: LanguageModel, *, failed: bool) -> None:
    """Places of every kind; alerts of every kind; messages that arrived, or did not."""
    kinds = (
        ("webhook", "https://billing.example.org/hooks/llmopt"),
        ("chat", "https://chat.example.org/hooks/8f3kq02mzx91"),
    )
    for kind, address in kinds:
        alert_destination_create(actor=owner, team=team, kind=kind, address=address)
    month = BudgetPeriod.objects.get(budget__team=team, budget__period="monthly")
    facts = {"team": team, "budget_period": month, "limit_nanousd": month.limit_nanousd, "prepared_at": timezone.now()}
    alerts = [Alert.objects.create(kind="spent", level=50, spent_nanousd=21 * DOLLAR, held_nanousd=2 * DOLLAR, **facts)]
    if failed:
        facts |= {"spent_nanousd": 38 * DOLLAR, "held_nanousd": DOLLAR, "needed_nanousd": 2 * DOLLAR}
        alerts += [
            Alert.objects.create(kind=kind, level=level, **facts) for kind, level in (("refused", 0), ("spent", 100))
        ]
        today = timezone.now().date()
        overrun = {"limit_nanousd": 0, "spent_nanousd": DOLLAR // 20, "held_nanousd": DOLLAR // 100, "day": today}
        alerts.append(Alert.objects.create(team=team, kind="overrun", language_model=model, **overrun))
    states = (
        ("not_sent", 1, "This installation has no mail server. Its operator sets LLMOPT_EMAIL_URL."),
        ("failed", 6, "The message was not accepted: the answer was 404."),
        ("pending", 2, "No answer came within 10 seconds."),
    )
    for alert in (None, *alerts):
        for place, (state, tries, error) in zip(team.alert_destinations.order_by("id"), states, strict=True):
            AlertDelivery.objects.create(
                alert=alert,
                destination=place,
                recipient=owner.email if place.kind == "email" else "",
                state=state if failed or place.kind == "email" else "sent",
                attempts=tries if failed else 1,
                error=error if failed or place.kind == "email" else "",
                next_attempt_at=timezone.now() + timedelta(minutes=8),
            )


def _call(
    team: Team, model: LanguageModel, price: Price, person: User | None, experiment: Experiment | None, state: str
) -> Reservation:
    now = timezone.now()
    return Reservation.objects.create(
        team=team,
        experiment=experiment,
        language_model=model,
        price=price,
        person=person,
        purpose="look",
        state=state,
        held_nanousd=DOLLAR,
        sent_at=now,
        expires_at=now + timedelta(hours=1),
    )


def _entry(of: Reservation, kind: str, amount_nanousd: int, **more: Any) -> LedgerEntry:
    return LedgerEntry.objects.create(
        team=of.team,
        reservation=of,
        experiment=of.experiment,
        language_model=of.language_model,
        price=of.price,
        person=of.person,
        purpose=of.purpose,
        kind=kind,
        amount_nanousd=amount_nanousd,
        **more,
    )


def money_pages(team: Team) -> list[tuple[str, str]]:
    """Pages about money, of a team with some and of one without."""
    slug = team.slug
    pages = [
        (name, reverse(name, args=[slug]))
        for name in ("budgets", "alerts", "usage", "usage_unknown", "usage_cache", "local_price")
    ]
    pages += [("usage-person", f"{reverse('usage', args=[slug])}?range=30d&by=person")]
    budget = team.budgets.filter(closed_at=None).order_by("id").first()
    unknown = Reservation.objects.filter(team=team, state=Reservation.State.UNKNOWN).first()
    pages += [("budget", reverse("budget", args=[slug, budget.uid]))] if budget else []
    return pages + ([("usage-attempt", reverse("usage_unknown_attempt", args=[slug, unknown.uid]))] if unknown else [])
