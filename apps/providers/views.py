"""Models, to read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.core.pages import render_page
from apps.providers import selectors
from apps.providers.models import LanguageModel

PAGE_SIZE = 50


@require_safe
@team_page("view")
def model_list(request: HttpRequest, team: Team) -> HttpResponse:
    models = selectors.language_models(user=request.user, team=team)
    page = Paginator(models, PAGE_SIZE).get_page(request.GET.get("page"))
    rows = [{"model": model, "where": selectors.where_it_runs(model)} for model in page]
    columns = [
        {"label": _("Name")},
        {"label": _("Kind")},
        {"label": _("State")},
        {"label": _("Runs")},
        {"label": _("Context"), "unit": _("tokens"), "numeric": True},
        {"label": _("Added")},
    ]
    return render_page(request, "providers/models.html", {"page_obj": page, "rows": rows, "columns": columns})


@require_safe
@team_page("view")
def model(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    found = selectors.language_model(user=request.user, team=team, uid=uid)
    context = {
        "model": found,
        "where": selectors.where_it_runs(found),
        "crumbs": [{"label": _("Models"), "url": reverse("models", args=[team.slug])}],
        "files": selectors.model_files(found),
        "groups": _groups(found),
    }
    return render_page(request, "providers/model.html", context)


@dataclass(frozen=True)
class Fact:
    label: str
    value: str


@dataclass(frozen=True)
class FactGroup:
    title: str
    facts: tuple[Fact, ...]


def _groups(found: LanguageModel) -> list[FactGroup]:
    """What produced the model, as it was frozen when the model became ready: one group per topic."""
    titles = {
        "lineage": _("Lineage"),
        "certificate": _("Certificate"),
        "training": _("Training"),
        "source": _("Source"),
    }
    plain, groups = [], []
    for key, value in found.facts.items():
        if isinstance(value, Mapping):
            facts = tuple(Fact(_words(name), _text(inner)) for name, inner in value.items())
            groups.append(FactGroup(titles.get(key, _words(key)), facts))
        else:
            plain.append(Fact(_words(key), _text(value)))
    return [*([FactGroup(_("Facts"), tuple(plain))] if plain else []), *groups]


def _words(key: str) -> str:
    text = key.replace("_", " ")
    return text[:1].upper() + text[1:]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(str(key))}: {_text(inner)}" for key, inner in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text(inner) for inner in value)
    return "–" if value is None or value == "" else str(value)
