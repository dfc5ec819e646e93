"""Changing prices and budgets, and closing what dead processes left open."""

import logging
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Case, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from apps.accounts.models import Team
from apps.billing import cache, holders, ledger_runner
from apps.billing.alert_sending import recipients
from apps.billing.engine.alert_levels import LEVELS, spent_at
from apps.billing.engine.days import day_of, start_of
from apps.billing.engine.ledger import Closed
from apps.billing.engine.price_choice import ANY_LOCAL_MODEL, PER_HOUR, PER_TOKEN
from apps.billing.engine.rates import TokenRates
from apps.billing.engine.signing import new_secret
from apps.billing.engine.webhook_address import chat_shown, checked_webhook
from apps.billing.known_prices import forget_prices
from apps.billing.models import (
    AlertDelivery,
    AlertDestination,
    Budget,
    BudgetPeriod,
    CachedResponse,
    Price,
    Reservation,
)
from apps.billing.pricing import rates_hash
from apps.core import audit
from apps.core.access import require
from apps.core.encryption import Sealed, seal
from apps.core.errors import ApplicationError, Conflict, translated
from apps.core.unique import taken_first
from apps.providers.engine.outbound import BaseUrlRefused
from apps.providers.models import LanguageModel

log = logging.getLogger(__name__)

# A hundred million tokens at more than this would cost more than a column of money can hold.
MOST_NANOUSD_PER_MILLION = 100_000 * 10**9
MOST_NANOUSD_PER_REQUEST = 1000 * 10**9
# A price may change above so many numbers of tokens.
MOST_STEPS = 8
MOST_NANOUSD_PER_HOUR = 100_000 * 10**9
MOST_DAYS_AHEAD = 3660
MOST_DESTINATIONS = 20


def budget_create(
    *,
    actor: Any,
    team: Team,
    limit_nanousd: int,
    period: str = Budget.Period.TOTAL,
    experiment: Any | None = None,
    person: Any | None = None,
    api_key: Any | None = None,
    hard: bool = True,
) -> Budget:
    """Limit what the team, or one experiment, person or API key of it, may spend in a period; a soft budget only tells.

    Money spent earlier does not count.
    """
    with transaction.atomic():
        require(team, actor, "manage")
        if limit_nanousd <= 0:
            raise ApplicationError(_("A budget's limit must be above zero."), field="limit_nanousd")
        if sum(thing is not None for thing in (experiment, person, api_key)) > 1:
            raise ApplicationError(_("A budget is for one experiment, one person or one API key, not for several."))
        _must_be_of(team, experiment=experiment, person=person, api_key=api_key)
        of = {"experiment": experiment, "person": person, "api_key": api_key, "period": period, "hard": hard}
        taken = Conflict(_("There is already a budget for this period; change its limit instead."))
        if Budget.objects.filter(team=team, closed_at=None, **of).exists():
            raise taken
        with taken_first(taken):
            budget = Budget.objects.create(team=team, limit_nanousd=limit_nanousd, **of)
        _tell_managers(team)
        audit.record(
            actor=actor,
            verb="budget.created",
            target=budget,
            period=str(period),
            limit_nanousd=limit_nanousd,
            hard=hard,
            of=_named(experiment=experiment, person=person, api_key=api_key),
        )
    return budget


def _must_be_of(team: Team, *, experiment: Any | None, person: Any | None, api_key: Any | None) -> None:
    if experiment is not None and experiment.team_id != team.pk:
        raise ApplicationError(_("This experiment belongs to another team."), field="experiment")
    if api_key is not None and api_key.team_id != team.pk:
        raise ApplicationError(_("This API key belongs to another team."), field="api_key")
    if person is not None and not team.memberships.filter(user=person).exists():
        raise ApplicationError(_("This person is not in the team."), field="person")


def _named(**things: Any) -> str:
    return next((f"{name}:{thing.uid}" for name, thing in things.items() if thing is not None), "team")


def budget_limit_change(*, actor: Any, budget: Budget, limit_nanousd: int) -> Budget:
    """Set another limit, for the running period too. One below what is spent and held only stops new calls.

    Levels that what is spent has reached under the new limit count as told: whoever changes it sees what is spent.
    """
    with transaction.atomic():
        require(budget, actor, "manage")
        if limit_nanousd <= 0:
            raise ApplicationError(_("A budget's limit must be above zero."), field="limit_nanousd")
        # As the ledger locks it: a transaction that has changed a period twice refers to its budget when it commits.
        if Budget.objects.select_for_update(no_key=True).get(pk=budget.pk).closed_at is not None:
            raise Conflict(_("This budget is closed. Make a new one instead."))
        before = budget.limit_nanousd
        Budget.objects.filter(pk=budget.pk).update(limit_nanousd=limit_nanousd)
        reached = [
            When(spent_nanousd__gte=spent_at(level, limit_nanousd), then=Value(level)) for level in reversed(LEVELS)
        ]
        BudgetPeriod.objects.filter(budget=budget).update(
            limit_nanousd=limit_nanousd, told_percent=Case(*reached, default=Value(0)), told_refusal=False
        )
        budget.refresh_from_db()
        audit.record(
            actor=actor, verb="budget.limit_changed", target=budget, before=before, limit_nanousd=limit_nanousd
        )
    return budget


def budget_close(*, actor: Any, budget: Budget) -> Budget:
    """End a budget: no new call counts in it. What it counted stays, and calls under way settle in it.

    No budget is ever deleted: a call that is just being admitted may have read it, and its counters are history.
    """
    with transaction.atomic():
        require(budget, actor, "manage")
        now = timezone.now()
        if not Budget.objects.filter(pk=budget.pk, closed_at=None).update(closed_at=now):
            raise Conflict(_("This budget is closed already."))
        budget.refresh_from_db()
        audit.record(
            actor=actor,
            verb="budget.closed",
            target=budget,
            period=str(budget.period),
            limit_nanousd=budget.limit_nanousd,
            of=_named(experiment=budget.experiment, person=budget.person, api_key=budget.api_key),
        )
    return budget


def _tell_managers(team: Team) -> None:
    """With a team's first budget its alerts go to its owners and admins, until somebody says otherwise."""
    if not AlertDestination.objects.filter(team=team).exists():
        AlertDestination.objects.create(team=team, kind=AlertDestination.Kind.EMAIL)


def alert_destination_create(*, actor: Any, team: Team, kind: str, address: str = "") -> tuple[AlertDestination, str]:
    """Have the team's alerts sent to one more place, and the secret that a webhook is signed with, shown this once.

    An e-mail address may be left out: then it is everybody who owns or administers the team when an alert is sent.
    """
    with transaction.atomic():
        require(team, actor, "manage")
        # The team's row serialises two who add at once, so that the bound holds.
        Team.objects.select_for_update().get(pk=team.pk)
        if AlertDestination.objects.filter(team=team, removed_at=None).count() >= MOST_DESTINATIONS:
            raise Conflict(_("Alerts go to %(most)d places at most. Remove one first.") % {"most": MOST_DESTINATIONS})
        destination, secret = AlertDestination(team=team, kind=kind, created_by=actor), ""
        destination.address = address = _alert_address(kind, address.strip())
        if kind == AlertDestination.Kind.WEBHOOK:
            secret = new_secret()
        elif kind == AlertDestination.Kind.CHAT:
            # Whoever knows the address may write to the chat.
            destination.address = chat_shown(address)
        kept = address if kind == AlertDestination.Kind.CHAT else secret
        destination.secret = seal(kept, context=destination.secret_context) if kept else Sealed()
        with taken_first(Conflict(_("Alerts go there already."), field="address")):
            destination.save()
        audit.record(
            actor=actor, verb="alert_destination.created", target=destination, kind=str(kind), name=str(destination)
        )
    return destination, secret


def _alert_address(kind: str, address: str) -> str:
    if kind == AlertDestination.Kind.EMAIL:
        try:
            if address:
                validate_email(address)
        except ValidationError as error:
            raise ApplicationError(error.messages[0], field="address") from error
        return address
    if not address:
        raise ApplicationError(_("Give the address of the webhook."), field="address")
    try:
        return checked_webhook(address, settings.WEBHOOK_HOSTS, of_slack=kind == AlertDestination.Kind.CHAT)
    except BaseUrlRefused as error:
        raise ApplicationError(translated(error), field="address") from error


def alert_destination_remove(*, actor: Any, destination: AlertDestination) -> None:
    """Send no alert there any more, and delete its secret. What was sent stays in the log."""
    with transaction.atomic():
        require(destination, actor, "manage")
        changed = AlertDestination.objects.filter(pk=destination.pk, removed_at=None).update(
            removed_at=timezone.now(), secret=Sealed()
        )
        if not changed:
            raise Conflict(_("Alerts no longer go there."))
        audit.record(
            actor=actor,
            verb="alert_destination.removed",
            target=destination,
            kind=str(destination.kind),
            name=str(destination),
        )


def alert_destination_test(*, actor: Any, destination: AlertDestination) -> int:
    """Send a message that says it is a test, in the same way as an alert. How many messages that are."""
    with transaction.atomic():
        require(destination, actor, "manage")
        if AlertDestination.objects.select_for_update().get(pk=destination.pk).removed_at is not None:
            raise Conflict(_("Alerts no longer go there."))
        if destination.deliveries.filter(alert=None, state=AlertDelivery.State.PENDING).exists():
            raise Conflict(_("A test is on its way there already; the list below says how it went."))
        now = timezone.now()
        made = AlertDelivery.objects.bulk_create(
            AlertDelivery(destination=destination, recipient=recipient, next_attempt_at=now)
            for recipient in recipients(destination)
        )
        audit.record(actor=actor, verb="alert_destination.tested", target=destination, name=str(destination))
        transaction.on_commit(lambda: async_task("apps.billing.tasks.alerts_send", cluster="housekeeping"))
    return len(made)


def local_price_create(
    *,
    actor: Any,
    team: Team,
    nanousd_per_hour: int,
    source: str,
    first_day: date | None = None,
    assumed: bool = False,
) -> Price:
    """Set what an hour of computing on the team's own machine costs, whatever model computes: from now on, or from a
    later day of the team's time zone. What was booked before stays as it is. `assumed` marks what nobody has said yet.
    """
    with transaction.atomic():
        require(team, actor, "manage")
        if not 0 <= nanousd_per_hour <= MOST_NANOUSD_PER_HOUR:
            raise ApplicationError(_("An hour of computing costs from $0 to $100,000."), field="nanousd_per_hour")
        return _price_written(
            actor=actor,
            team=team,
            first_day=first_day,
            served_name=ANY_LOCAL_MODEL,
            unit=PER_HOUR,
            nanousd_per_hour=nanousd_per_hour,
            assumed=assumed,
            source=source,
        )


def token_price_create(
    *, actor: Any, team: Team, model: LanguageModel, rates: TokenRates, source: str, first_day: date | None = None
) -> Price:
    """Set what a provider takes from this team for a model's tokens, before what it publishes: from now on, or from a
    later day of the team's time zone. What was booked before stays as it is.
    """
    with transaction.atomic():
        require(team, actor, "manage")
        if model.team_id != team.pk or not model.provider:
            raise ApplicationError(_("Tokens have a price only for a model that runs elsewhere."), field="model")
        if rates.most() > MOST_NANOUSD_PER_MILLION:
            raise ApplicationError(_("A price is at most $100,000 for a million tokens. Was it meant for one token?"))
        if rates.request_nanousd > MOST_NANOUSD_PER_REQUEST:
            raise ApplicationError(_("A call costs at most $1,000 beside its tokens."), field="request")
        if len(rates.starts()) > MOST_STEPS:
            raise ApplicationError(_("A price changes at most %(most)d times.") % {"most": MOST_STEPS})
        column = rates.to_json()
        return _price_written(
            actor=actor,
            team=team,
            first_day=first_day,
            served_name=model.served_name,
            unit=PER_TOKEN,
            rates=column,
            rates_hash=rates_hash(column),
            source=source,
        )


def _price_written(*, actor: Any, team: Team, first_day: date | None, **columns: Any) -> Price:
    """The row of a price from now or from a later day on, and its line in the audit trail."""
    now = timezone.now()
    today = day_of(now, team.time_zone)
    if first_day is not None and not today <= first_day <= today + timedelta(days=MOST_DAYS_AHEAD):
        raise ApplicationError(
            _("Nothing past is priced anew: choose today or a day of the coming ten years."), field="first_day"
        )
    valid_from = now if first_day in (None, today) else start_of(first_day, team.time_zone)
    price = Price.objects.create(team=team, valid_from=valid_from, **columns)
    told = ("served_name", "nanousd_per_hour", "rates", "assumed", "source")
    facts = {name: columns[name] for name in told if name in columns}
    audit.record(actor=actor, verb="price.created", target=price, **facts, valid_from=valid_from.isoformat())
    transaction.on_commit(forget_prices)
    return price


def reservation_correct(*, actor: Any, reservation: Reservation, amount_nanousd: int, evidence: str) -> Closed:
    """Book what an attempt really cost, by a second entry. What was booked before stays."""
    require(reservation, actor, "manage")
    if amount_nanousd < 0:
        raise ApplicationError(_("A call cannot have cost less than nothing."), field="amount_nanousd")
    if not evidence.strip():
        raise ApplicationError(_("Write where this figure comes from, such as an invoice."), field="evidence")
    if reservation.state not in (Reservation.State.UNKNOWN, Reservation.State.SETTLED):
        raise Conflict(_("Only a call that was booked can be corrected."))

    def tell(closed: Closed | None) -> None:
        audit.record(
            actor=actor, verb="reservation.corrected", target=reservation, amount_nanousd=amount_nanousd,
            evidence=evidence.strip(),
        )  # fmt: skip

    return ledger_runner.correct(reservation.pk, amount_nanousd, evidence.strip(), and_then=tell)


def cache_purge(*, actor: Any, team: Team, model: LanguageModel | None = None) -> int:
    """Delete the team's stored answers, of one model or of all; how many. Other processes forget theirs within half a
    minute.
    """
    with transaction.atomic():
        require(team, actor, "manage")
        if model is not None and model.team_id != team.pk:
            raise ApplicationError(_("This model belongs to another team."), field="model")
        rows = CachedResponse.objects.filter(team=team, **({} if model is None else {"language_model": model}))
        deleted, _by_kind = rows.delete()
        audit.record(actor=actor, verb="cache.purged", target=team, answers=deleted, model=str(model or ""))
    cache.forget_team(team.pk)
    return int(deleted)


def cache_expire() -> int:
    """Delete stored answers whose time is over; housekeeping's work."""
    deleted, _by_kind = CachedResponse.objects.filter(expires_at__lte=timezone.now()).delete()
    return int(deleted)


def prices_ensure_local(*, actor: Any, team: Team) -> Price:
    """The team's price for computing on its own machine; made from the settings, and marked as assumed, if missing."""
    with transaction.atomic():
        # The team's row serialises two first starts, so that only one of them makes the price.
        Team.objects.select_for_update().get(pk=team.pk)
        # One that is to hold from a later day on does not hold today.
        existing = Price.objects.filter(
            team=team, served_name=ANY_LOCAL_MODEL, unit=PER_HOUR, valid_from__lte=timezone.now()
        ).first()
        if existing is not None:
            found: Price = existing
            return found
        return local_price_create(
            actor=actor,
            team=team,
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
