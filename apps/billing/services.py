"""Changing prices and budgets, and closing what dead processes left open."""

import logging
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.billing import holders, ledger_runner, selectors
from apps.billing.engine.ledger import Closed
from apps.billing.models import Budget, BudgetPeriod, Price, Reservation
from apps.core import audit
from apps.core.access import require
from apps.core.errors import ApplicationError, Conflict
from apps.core.unique import taken_first

log = logging.getLogger(__name__)


def budget_create(
    *,
    actor: Any,
    team: Team,
    limit_nanousd: int,
    period: str = Budget.Period.TOTAL,
    experiment: Any | None = None,
) -> Budget:
    """Limit what the team, or one experiment of it, may spend in a period. Money spent earlier does not count."""
    with transaction.atomic():
        require(team, actor, "manage")
        if limit_nanousd <= 0:
            raise ApplicationError(_("A budget's limit must be above zero."), field="limit_nanousd")
        if experiment is not None and experiment.team_id != team.pk:
            raise ApplicationError(_("This experiment belongs to another team."), field="experiment")
        taken = Conflict(_("There is already a budget for this period; change its limit instead."))
        if Budget.objects.filter(team=team, experiment=experiment, period=period).exists():
            raise taken
        with taken_first(taken):
            budget = Budget.objects.create(team=team, experiment=experiment, period=period, limit_nanousd=limit_nanousd)
        audit.record(actor=actor, verb="budget.created", target=budget, period=str(period), limit_nanousd=limit_nanousd)
    return budget


def budget_limit_change(*, actor: Any, budget: Budget, limit_nanousd: int) -> Budget:
    """Set another limit, for the running period too. One below what is spent and held only stops new calls."""
    with transaction.atomic():
        require(budget, actor, "manage")
        if limit_nanousd <= 0:
            raise ApplicationError(_("A budget's limit must be above zero."), field="limit_nanousd")
        before = budget.limit_nanousd
        Budget.objects.filter(pk=budget.pk).update(limit_nanousd=limit_nanousd)
        BudgetPeriod.objects.filter(budget=budget).update(limit_nanousd=limit_nanousd)
        budget.refresh_from_db()
        audit.record(
            actor=actor, verb="budget.limit_changed", target=budget, before=before, limit_nanousd=limit_nanousd
        )
    return budget


def price_create(
    *, actor: Any, team: Team, served_name: str, nanousd_per_hour: int, assumed: bool, source: str
) -> Price:
    """Set what an hour of computing with a model costs from now on. `served_name` "*" means every local model."""
    with transaction.atomic():
        require(team, actor, "manage")
        if nanousd_per_hour < 0:
            raise ApplicationError(_("A price cannot be below zero."), field="nanousd_per_hour")
        price = Price.objects.create(
            team=team,
            served_name=served_name,
            unit=selectors.PER_HOUR,
            nanousd_per_hour=nanousd_per_hour,
            assumed=assumed,
            source=source,
            valid_from=timezone.now(),
        )
        audit.record(
            actor=actor,
            verb="price.created",
            target=price,
            served_name=served_name,
            nanousd_per_hour=nanousd_per_hour,
            assumed=assumed,
        )
    return price


def prices_ensure_local(*, actor: Any, team: Team) -> Price:
    """The team's price for computing on its own machine; made from the settings, and marked as assumed, if missing."""
    with transaction.atomic():
        # The team's row serialises two first starts, so that only one of them makes the price.
        Team.objects.select_for_update().get(pk=team.pk)
        existing = Price.objects.filter(
            team=team, served_name=selectors.ANY_LOCAL_MODEL, unit=selectors.PER_HOUR
        ).first()
        if existing is not None:
            found: Price = existing
            return found
        return price_create(
            actor=actor,
            team=team,
            served_name=selectors.ANY_LOCAL_MODEL,
            nanousd_per_hour=settings.LOCAL_NANOUSD_PER_HOUR,
            assumed=True,
            source="LLMOPT_LOCAL_NANOUSD_PER_HOUR",
        )


def reservations_sweep() -> list[Closed]:
    """Close every reservation whose process is dead or whose time is over; housekeeping's work every few seconds."""
    names = Reservation.objects.filter(state=Reservation.State.HELD).values_list("holder", flat=True).distinct()
    closed = ledger_runner.sweep([name for name in names if name and holders.is_dead(name)])
    if closed:
        outcomes = [outcome.outcome for outcome in closed]
        log.warning(
            "closed reservations of processes that are gone",
            extra={"released": outcomes.count("released"), "unknown": outcomes.count("unknown")},
        )
    return closed
