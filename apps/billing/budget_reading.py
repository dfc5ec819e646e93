"""Reading budgets: whose each is, and what is spent and held in its running period."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from apps.accounts.models import APIKey, Membership, Team
from apps.billing.engine.days import period_end
from apps.billing.engine.ledger_facts import period_key
from apps.billing.models import Budget, BudgetPeriod
from apps.core.access import fetch_for_user
from apps.core.errors import ApplicationError, NotFound
from apps.experiments.models import Experiment

MOST_EXPERIMENTS_OFFERED = 100


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """A budget with the counters of its running period, in nano-dollars; both 0 before the period's first call."""

    budget: Budget
    whose: str
    period_text: str
    spent_nanousd: int
    held_nanousd: int
    ends_at: datetime | None

    @property
    def left_nanousd(self) -> int:
        """What new calls may still hold; 0 where more is spent and held than the limit."""
        return max(0, self.budget.limit_nanousd - self.spent_nanousd - self.held_nanousd)

    @property
    def full(self) -> bool:
        return self.left_nanousd == 0

    @property
    def over(self) -> bool:
        return self.spent_nanousd + self.held_nanousd > self.budget.limit_nanousd


def budgets(*, user: Any, team: Team | None = None) -> QuerySet[Budget]:
    """Budgets that are in force, newest first."""
    found = Budget.objects.for_user(user, "view").filter(closed_at=None)
    return _with_owners(found if team is None else found.filter(team=team)).order_by("-id")


def closed_budgets(*, user: Any, team: Team) -> QuerySet[Budget]:
    """Budgets that were closed after they had counted something, the last closed first."""
    counted = BudgetPeriod.objects.filter(budget=OuterRef("pk"))
    found = Budget.objects.for_user(user, "view").filter(Exists(counted), team=team, closed_at__isnull=False)
    return _with_owners(found).order_by("-closed_at", "-id")


def budget(*, user: Any, uid: Any, action: str = "view", **lookup: Any) -> Budget:
    """One budget, closed or not."""
    found = fetch_for_user(Budget, user, action, uid=uid, **lookup)
    return _with_owners(Budget.objects.for_user(user, action)).get(pk=found.pk)


def budget_rows(found: Iterable[Budget], *, now: datetime | None = None) -> list[BudgetRow]:
    """Budgets with what their running periods hold, in one query."""
    rows, now = list(found), now or timezone.now()
    keys = {each.pk: period_key(each.period, now, each.team.time_zone) for each in rows}
    counters = BudgetPeriod.objects.filter(budget__in=rows, key__in=set(keys.values()))
    running = {each.budget_id: each for each in counters if each.key == keys[each.budget_id]}
    return [_row(each, keys[each.pk], running.get(each.pk), now) for each in rows]


def _row(found: Budget, key: str, counter: BudgetPeriod | None, now: datetime) -> BudgetRow:
    return BudgetRow(
        budget=found,
        whose=whose(found),
        period_text=period_text(key),
        spent_nanousd=counter.spent_nanousd if counter else 0,
        held_nanousd=counter.held_nanousd if counter else 0,
        ends_at=period_end(found.period, now, found.team.time_zone),
    )


def periods_of(found: Budget) -> QuerySet[BudgetPeriod]:
    """The counters of a budget, newest first."""
    return BudgetPeriod.objects.filter(budget=found).order_by("-key")


def whose(found: Budget) -> str:
    """Whom or what a budget limits, by name."""
    if found.experiment is not None:
        return str(found.experiment.name)
    if found.person is not None:
        return str(found.person)
    return str(found.api_key) if found.api_key is not None else _("The whole team")


def kind_of(found: Budget) -> str:
    """What a budget is for, in a word; empty for the whole team."""
    if found.experiment_id is not None:
        return _("Experiment")
    if found.person_id is not None:
        return _("Person")
    return _("API key") if found.api_key_id is not None else ""


def period_text(key: str) -> str:
    """A period's key in words: *November 2026*, *24 November 2026*."""
    if key == "total":
        return _("Since it was made")
    parts = [int(part) for part in key.split("-")]
    if len(parts) == 2:
        return date_format(date(parts[0], parts[1], 1), "F Y")
    return date_format(date(parts[0], parts[1], parts[2]), "j F Y")


def _with_owners(found: QuerySet[Budget]) -> QuerySet[Budget]:
    return found.select_related("team", "experiment", "person", "api_key")


Choices = Sequence[tuple[str, str | Sequence[tuple[str, str]]]]


def owner_choices(*, user: Any, team: Team) -> Choices:
    """What a budget can be for, in groups: the team, its newest experiments, its members and its keys in use."""
    experiments = Experiment.objects.for_user(user, "view").filter(team=team).order_by("-id")
    members = Membership.objects.for_user(user, "view").filter(team=team).select_related("user").order_by("id")
    keys = APIKey.objects.for_user(user, "view").filter(team=team, revoked_at=None).order_by("-id")
    groups = [
        (_("Experiment"), [(f"experiment:{each.uid}", each.name) for each in experiments[:MOST_EXPERIMENTS_OFFERED]]),
        (_("Person"), [(f"person:{each.user.uid}", str(each.user)) for each in members]),
        (_("API key"), [(f"api_key:{each.uid}", each.name) for each in keys]),
    ]
    return [("team", _("The whole team")), *(group for group in groups if group[1])]


def owner_of(*, user: Any, team: Team, named: str) -> dict[str, Any]:
    """What `budget_create` takes for a choice of `owner_choices`. NotFound for what is not in the team."""
    kind, _colon, uid = named.partition(":")
    if kind == "experiment":
        return {"experiment": fetch_for_user(Experiment, user, team=team, uid=uid)}
    if kind == "api_key":
        return {"api_key": fetch_for_user(APIKey, user, team=team, uid=uid)}
    if kind == "person":
        try:
            return {"person": fetch_for_user(Membership, user, team=team, user__uid=uid).user}
        except NotFound:
            raise NotFound(_("There is no such person in this team."), field="person") from None
    if kind != "team":
        raise ApplicationError(_("A budget is for the team, an experiment, a person or an API key."), field="of")
    return {}
