"""The frame around every page of a team: where one can go, what runs, what it costs."""

from collections.abc import Callable
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.accounts.selectors import role_in, teams_of
from apps.billing.selectors import spent_and_held
from apps.core.roles import roles_for
from apps.workspace.selectors.jobs import running_count

# (path below the team's home, label, icon). The longest path that a page's address begins with is the current one.
_SECTIONS = (
    ("", lambda: _("Home"), "house"),
    ("experiments/", lambda: _("Experiments"), "flask-conical"),
    ("datasets/", lambda: _("Datasets"), "database"),
    ("prompts/", lambda: _("Prompts"), "message-square-text"),
    ("models/", lambda: _("Models"), "box"),
    ("playground/", lambda: _("Playground"), "messages-square"),
    ("training/", lambda: _("Training"), "graduation-cap"),
    ("jobs/", lambda: _("Jobs"), "list-checks"),
    ("usage/", lambda: _("Usage"), "receipt"),
    ("settings/", lambda: _("Settings"), "settings"),
)
# Parts of the settings: (route, label). The section opens with the first.
_SETTINGS = (
    ("members", lambda: _("Members")),
    ("provider_keys", lambda: _("Providers")),
    ("api_keys", lambda: _("API keys")),
    ("budgets", lambda: _("Budgets")),
    ("alerts", lambda: _("Alerts")),
)
# A page below one of these belongs to another section's entry.
_BELONGS_TO = {
    "evaluations/": "experiments/",
    "plans/": "experiments/",
    "uploads/": "datasets/",
    "imports/": "datasets/",
}


def shell_facts(
    *, user: Any, team: Team | None, path: str = "", since: Callable[[], int] | None = None
) -> dict[str, Any]:
    """`shell` of docs/components.md. Without a team, or for a role that sees no pages, the navigation is empty.

    `since` says up to which event this person has been told what ended; without it the page tells nothing.
    """
    person = {
        "email": user.email,
        "account_url": reverse("account"),
        "sign_out_url": reverse("sign_out"),
    }
    shell: dict[str, Any] = {"team": None, "items": [], "person": person, "help_url": None}
    if team is None:
        return shell
    home = reverse("home", args=[team.slug])
    shell["team"] = {"name": team.name, "url": home}
    shell["teams_url"] = reverse("start") if teams_of(user).count() > 1 else None
    role = role_in(user=user, team=team)
    if role not in roles_for("view"):
        return shell
    # For pages that offer what only some may do.
    shell["may_edit"] = role in roles_for("edit")
    shell["items"] = _items(home, path)
    shell["settings"] = _settings_tabs(team, path)
    shell["jobs"] = running_facts(user=user, team=team, since=since() if since is not None else None)
    # Everything that happens in the team; a page about one thing names its own topic instead.
    shell["events_url"] = f"{home}events/?topic=team"
    shell["money"] = money_facts(team)
    return shell


def running_facts(*, user: Any, team: Team, since: int | None) -> dict[str, Any]:
    """How many jobs run, and where to ask what has ended after event `since`."""
    url = reverse("jobs", args=[team.slug])
    facts = {"running": running_count(user=user, team=team), "url": url}
    if since is not None:
        facts["notices_url"] = f"{reverse('notices', args=[team.slug])}?since={since}"
    return facts


def _items(home: str, path: str) -> list[dict[str, Any]]:
    rest = path.removeprefix(home) if path.startswith(home) else None
    if rest is not None:
        rest = next((target for prefix, target in _BELONGS_TO.items() if rest.startswith(prefix)), rest)
    items = []
    for below, label, icon in _SECTIONS:
        current = rest is not None and (rest == "" if below == "" else rest.startswith(below))
        url = f"{home}settings/members/" if below == "settings/" else f"{home}{below}"
        items.append({"label": label(), "url": url, "icon": icon, "current": current})
    return items


def _settings_tabs(team: Team, path: str) -> list[dict[str, Any]]:
    """Tabs of the settings, for a page of them."""
    tabs = [(label(), reverse(route, args=[team.slug])) for route, label in _SETTINGS]
    return [{"label": label, "url": url, "current": path == url} for label, url in tabs]


def money_facts(team: Team) -> dict[str, Any]:
    """What the team has spent and holds, and the page that says what for. Only for whoever sees the team's pages."""
    money = spent_and_held(team)
    return {
        "spent_nanousd": money.spent_nanousd,
        "held_nanousd": money.held_nanousd,
        "assumed": money.assumed,
        "url": reverse("usage", args=[team.slug]),
    }
