"""What an alert says: to a person in words, to a program in figures."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from apps.billing.budget_reading import period_text, whose
from apps.billing.models import Alert, AlertDelivery, Budget
from apps.core.formats import money_text, percent_text

# What a budget can be for, as programs are told; with none it is the team's.
_OWNERS = ("experiment", "person", "api_key")


@dataclass(frozen=True, slots=True)
class Message:
    """`payload` is what a webhook is sent: figures in nano-dollars, and the words as well."""

    title: str
    text: str
    url: str
    payload: dict[str, Any]

    @property
    def body(self) -> str:
        """The words without the title, with the page to look at."""
        return f"{self.text}\n\n{self.url or _('See Settings, Budgets.')}\n"


def title_of(alert: Alert) -> str:
    """What happened, in a line, with the name of what it happened to."""
    if alert.kind == Alert.Kind.OVERRUN:
        return _("A call of %(model)s cost more than was held for it") % {"model": alert.language_model}
    name = whose(_budget(alert))
    if alert.kind == Alert.Kind.REFUSED:
        return _("A budget refused a call: %(whose)s") % {"whose": name}
    if alert.needed_nanousd is not None:
        return _("A budget is used up: %(whose)s") % {"whose": name}
    return _("%(level)s of a budget is spent: %(whose)s") % {"level": percent_text(alert.level / 100, 0), "whose": name}


def text_of(alert: Alert) -> str:
    """Both numbers as they stood then, the limit and the period, and what follows."""
    figures = {
        "spent": money_text(alert.spent_nanousd),
        "held": money_text(alert.held_nanousd),
        "limit": money_text(alert.limit_nanousd),
        "needed": money_text(alert.needed_nanousd),
    }
    if alert.kind == Alert.Kind.OVERRUN:
        said = _(
            "It cost %(spent)s, and %(held)s was held. All of it is booked, so a budget may have been passed by the "
            "difference. Others of this model on the same day are in the audit trail, and are not told again."
        )
        return said % figures
    budget = _budget(alert)
    period = alert.budget_period
    assert period is not None  # a constraint says so of every other kind
    when = {"period": period_text(period.key), **figures}
    stands = _("%(spent)s of %(limit)s is spent and %(held)s is held. Period: %(period)s.") % when
    return f"{stands} {_consequence(alert, budget) % figures}"


def _consequence(alert: Alert, budget: Budget) -> str:
    if alert.needed_nanousd is not None:
        if alert.needed_nanousd > alert.limit_nanousd:
            return _("A call was refused: it may cost up to %(needed)s, more than the whole limit.")
        if alert.kind == Alert.Kind.REFUSED:
            return _(
                "A call that may cost up to %(needed)s was refused, because of what is held for other calls. What they "
                "do not spend comes back."
            )
        if budget.period == Budget.Period.TOTAL:
            return _("A call that may cost up to %(needed)s was refused. Raise the limit to go on.")
        return _("A call that may cost up to %(needed)s was refused. Raise the limit, or wait for the next period.")
    if not budget.hard:
        return _("It is a soft budget: no call is refused.")
    return _("A call that might exceed the limit is refused.")


def page_of(alert: Alert) -> str:
    """The path of the page that shows what the alert is about."""
    if alert.budget_period is None:
        return reverse("alerts", args=[alert.team.slug])
    return reverse("budget", args=[alert.team.slug, alert.budget_period.budget.uid])


def message_of(delivery: AlertDelivery) -> Message:
    """What is sent. A test says that it is one."""
    team = delivery.destination.team
    known = {"id": str(delivery.uid), "team": {"uid": str(team.uid), "name": team.name, "slug": team.slug}}
    alert = delivery.alert
    if alert is None:
        title, text = _("A test"), _("Nothing has happened. Somebody pressed “Send test” to see whether this arrives.")
        url = _public(reverse("alerts", args=[team.slug]))
        return Message(title, text, url, {"type": "test", **known, "title": title, "text": text, "url": url})
    title, text, url = title_of(alert), text_of(alert), _public(page_of(alert))
    facts = {"title": title, "text": text, "url": url, "created_at": alert.created_at.isoformat(), **_figures(alert)}
    return Message(title, text, url, {"type": f"budget.{alert.kind}", "alert": str(alert.uid), **known, **facts})


def _figures(alert: Alert) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "spent_nanousd": alert.spent_nanousd,
        "held_nanousd": alert.held_nanousd,
    }
    if alert.budget_period is None:
        model = alert.language_model
        return {**figures, "model": model.served_name if model is not None else None}
    budget = alert.budget_period.budget
    return {
        **figures,
        "level_percent": alert.level or None,
        "limit_nanousd": alert.limit_nanousd,
        "needed_nanousd": alert.needed_nanousd,
        "budget": {
            "uid": str(budget.uid),
            "of": next((name for name in _OWNERS if getattr(budget, f"{name}_id") is not None), "team"),
            "whose": whose(budget),
            "period": budget.period,
            "period_key": alert.budget_period.key,
            "hard": budget.hard,
        },
    }


def _budget(alert: Alert) -> Budget:
    if alert.budget_period is None:
        raise ValueError("this alert is about no budget")
    return alert.budget_period.budget


def _public(path: str) -> str:
    return f"{settings.PUBLIC_URL}{path}" if settings.PUBLIC_URL else ""
