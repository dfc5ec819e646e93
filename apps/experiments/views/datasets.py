"""Datasets and their versions, to read."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.core.pages import page_number, render_page
from apps.experiments import rows, selectors
from apps.experiments.models import DatasetVersion

PAGE_SIZE = 50
ROWS_NAMED = 10


@require_safe
@team_page("view")
def dataset_list(request: HttpRequest, team: Team) -> HttpResponse:
    page = Paginator(selectors.datasets(user=request.user, team=team), PAGE_SIZE).get_page(request.GET.get("page"))
    columns = [
        {"label": _("Name")},
        {"label": _("Version"), "numeric": True},
        {"label": _("Rows"), "numeric": True},
        {"label": _("Train"), "numeric": True},
        {"label": _("Validation"), "numeric": True},
        {"label": _("Test"), "numeric": True},
        {"label": _("Licence")},
        {"label": _("Added")},
    ]
    return render_page(request, "experiments/datasets.html", {"page_obj": page, "columns": columns})


@require_safe
@team_page("view")
def dataset(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """The newest version is the dataset's page."""
    version = selectors.latest_dataset_version(user=request.user, team=team, uid=uid)
    return redirect("dataset_version", team=team.slug, uid=uid, number=version.number)


@require_safe
@team_page("view")
def dataset_version(request: HttpRequest, team: Team, uid: str, number: int) -> HttpResponse:
    version = selectors.dataset_version(user=request.user, team=team, uid=uid, number=number)
    split = request.GET.get("split", "train")
    if split not in ("train", "validation", "test"):
        split = "train"
    splits = _split_tabs(request, version, split)
    context: dict[str, Any] = {
        "version": version,
        "crumbs": [{"label": _("Datasets"), "url": reverse("datasets", args=[team.slug])}],
        "rows_read": version.facts.get("rows_read", version.row_count),
        "problems": _problems(version),
        "problem_columns": [
            {"label": _("Reason")},
            {"label": _("Rows left out"), "numeric": True},
            {"label": _("Where")},
        ],
        "split": split,
        "splits": splits,
        "split_caption": next(item["label"] for item in splits if item["current"]),
        "row_columns": [{"label": _("Input")}, {"label": _("Expected answer")}],
        "page_obj": _row_page(version, split, page_number(request)),
        "use_columns": [{"label": _("Experiment")}, {"label": _("State")}],
        "experiments": selectors.experiments_on(user=request.user, version=version),
    }
    return render_page(request, "experiments/dataset_version.html", context, parts=("rows",))


def _row_page(version: DatasetVersion, split: str, number: int) -> Page[Any] | None:
    """A page of a split that may be read; None for the test split, whose rows nobody is shown here."""
    if split not in rows.VISIBLE_SPLITS:
        return None
    found, count = rows.page(version, split=split, offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE)
    return Page(found, number, Paginator(range(count), PAGE_SIZE))


def _split_tabs(request: HttpRequest, version: DatasetVersion, split: str) -> list[dict[str, Any]]:
    names = (
        ("train", _("Train"), version.train_count),
        ("validation", _("Validation"), version.validation_count),
        ("test", _("Test"), version.test_count),
    )
    return [
        {"label": label, "url": f"{request.path}?split={name}#rows", "current": name == split, "count": count}
        for name, label, count in names
    ]


@dataclass(frozen=True)
class Problem:
    reason: str
    count: int
    rows: str


def _problems(version: DatasetVersion) -> list[Problem]:
    """Rows left out, by reason. Their text is not shown: a duplicate may repeat a test row."""
    by_reason: dict[str, list[int]] = defaultdict(list)
    for left_out in version.facts.get("left_out", []):
        by_reason[left_out["reason"]].append(left_out["row"])
    return [Problem(_(reason), len(numbers), _row_numbers(numbers)) for reason, numbers in by_reason.items()]


def _row_numbers(numbers: list[int]) -> str:
    named = ", ".join(str(number) for number in numbers[:ROWS_NAMED])
    rest = len(numbers) - ROWS_NAMED
    if rest > 0:
        return _("rows %(named)s and %(rest)s more") % {"named": named, "rest": rest}
    return _("rows %(named)s") % {"named": named}
