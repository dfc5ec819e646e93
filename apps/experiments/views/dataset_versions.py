"""One version of a dataset: its rows, figures, problems, where it comes from and what uses it. Each tab is a URL."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import may
from apps.core.errors import ApplicationError
from apps.core.pages import page_number, render_page
from apps.core.refusals import refuse_in_form, refuse_on_page
from apps.core.streaming import download
from apps.experiments import rows, selectors
from apps.experiments.charts import Chart, label_chart, length_chart
from apps.experiments.forms import DeriveForm, RowForm
from apps.experiments.models import DatasetVersion
from apps.experiments.reports import alike_text, few_test_text, fix_facts, not_compared_text
from apps.experiments.row_export import FORMS
from apps.experiments.services import derived_versions

PAGE_SIZE = 50
ROWS_NAMED = 10
TABS = ("dataset_version", "dataset_version_figures", "dataset_version_problems", "dataset_version_about")


def frame(request: HttpRequest, team: Team, version: DatasetVersion, current: str) -> dict[str, Any]:
    """What every tab of a version shows."""
    labels = (_("Rows"), _("Lengths and labels"), _("Problems"), _("Origin and use"))
    where = [team.slug, version.dataset.uid, version.number]
    return {
        "version": version,
        "dataset": version.dataset,
        "crumbs": [{"label": _("Datasets"), "url": reverse("datasets", args=[team.slug])}],
        "tabs": [
            {"label": label, "url": reverse(name, args=where), "current": name == current}
            for label, name in zip(labels, TABS, strict=True)
        ],
        "may_edit": may(user=request.user, team=team, action="edit"),
    }


@require_safe
@team_page("view")
def dataset_version(request: HttpRequest, team: Team, uid: str, number: int) -> HttpResponse:
    """The rows of a split, paged and searched. Test rows stay closed."""
    version = selectors.dataset_version(user=request.user, team=team, uid=uid, number=number)
    split = request.GET.get("split", "train")
    if split not in ("train", "validation", "test"):
        split = "train"
    text = request.GET.get("q", "")[:200]
    splits = _split_tabs(request, version, split)
    found = _row_page(version, split, text, page_number(request))
    context = {
        **frame(request, team, version, "dataset_version"),
        "split": split,
        "splits": splits,
        "split_caption": next(item["label"] for item in splits if item["current"]),
        "q": text,
        "row_columns": [
            {"label": _("Input")},
            {"label": _("Expected answer")},
            *({"label": name} for name in version.columns),
            {"label": _("Open"), "hidden_label": True},
        ],
        "page_obj": found.page if found else None,
        "more": found.more if found else False,
        "few_test": few_test_text(version.test_count),
        "not_compared": not_compared_text(int(version.facts.get("pairs_not_compared", 0))),
        "alike": alike_text(int(version.facts.get("largest_near_duplicate_group", 0)), version.row_count),
    }
    return render_page(request, "experiments/dataset_version.html", context, parts=("rows",))


@require_safe
@team_page("view")
def dataset_version_rows(request: HttpRequest, team: Team, uid: str, number: int, form: str) -> HttpResponse:
    """Training and validation rows as a file."""
    version = selectors.dataset_version(user=request.user, team=team, uid=uid, number=number)
    chunks, content_type = FORMS[form]
    name = f"{slugify(version.dataset.name)[:60] or 'dataset'}-v{version.number}.{form}"
    return download(chunks(version), name=name, content_type=content_type)  # type: ignore[return-value]


@dataclass(frozen=True)
class _Rows:
    page: Page[Any]
    more: bool


def _row_page(version: DatasetVersion, split: str, text: str, number: int) -> _Rows | None:
    """A page of a split that may be read; None for the test split, whose rows nobody is shown here."""
    if split not in rows.VISIBLE_SPLITS:
        return None
    found = rows.search(version, split=split, text=text, offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE)
    shown = [(row, [row.columns.get(name, "") for name in version.columns]) for row in found.rows]
    return _Rows(Page(shown, number, Paginator(range(found.total), PAGE_SIZE)), found.more)


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


@require_safe
@team_page("view")
def dataset_version_figures(request: HttpRequest, team: Team, uid: str, number: int) -> HttpResponse:
    """How long texts are and how often each label occurs."""
    version = selectors.dataset_version(user=request.user, team=team, uid=uid, number=number)
    figures = selectors.version_figures(version)
    context = {
        **frame(request, team, version, "dataset_version_figures"),
        "charts": _charts(figures),
        "personal": _personal(figures.get("personal", {})),
        "personal_columns": [{"label": _("Looks like")}, {"label": _("Rows"), "numeric": True}],
    }
    return render_page(request, "experiments/dataset_version_figures.html", context)


def _charts(figures: dict[str, Any]) -> list[tuple[str, Chart]]:
    names = {"input": _("Inputs"), "expected": _("Expected answers")}
    found: dict[str, Chart | None] = {"labels": label_chart(figures.get("labels", {}))}
    for kind, unit in (("tokens", _("tokens")), ("lengths", _("characters"))):
        for name, histogram in figures.get(kind, {}).items():
            found[f"{kind}-{name}"] = length_chart(histogram, what=names[name], unit=unit)
    return [(name, chart) for name, chart in found.items() if chart is not None]


def _personal(counts: dict[str, int]) -> list[tuple[str, int]]:
    names = {"e_mail": _("An e-mail address"), "phone": _("A phone number"), "iban": _("A bank account (IBAN)")}
    return [(names.get(name, name), count) for name, count in counts.items()]


@require_safe
@team_page("view")
def dataset_version_problems(request: HttpRequest, team: Team, uid: str, number: int) -> HttpResponse:
    """Rows that were read and are not in the version, by reason."""
    version = selectors.dataset_version(user=request.user, team=team, uid=uid, number=number)
    context = {
        **frame(request, team, version, "dataset_version_problems"),
        "rows_read": version.facts.get("rows_read", version.row_count),
        "problems": _problems(version),
        "fixed": [(_(reason), count) for reason, count in version.facts.get("fixed_by_reason", {}).items()],
        "fixed_columns": [{"label": _("What was wrong")}, {"label": _("Fixed"), "numeric": True}],
        "made_by": selectors.import_of(user=request.user, version=version),
        "problem_columns": [
            {"label": _("Reason")},
            {"label": _("Rows left out"), "numeric": True},
            {"label": _("Where")},
        ],
    }
    return render_page(request, "experiments/dataset_version_problems.html", context)


@dataclass(frozen=True)
class Problem:
    reason: str
    count: int
    rows: str


def _problems(version: DatasetVersion) -> list[Problem]:
    """Rows left out, by reason. Their text is not shown: a duplicate may repeat a test row."""
    places: dict[str, list[int]] = defaultdict(list)
    for left_out in version.facts.get("left_out", []):
        places[left_out["reason"]].append(left_out["row"])
    counts = version.facts.get("left_out_counts") or {reason: len(found) for reason, found in places.items()}
    return [Problem(_(reason), count, _row_numbers(places.get(reason, []), count)) for reason, count in counts.items()]


def _row_numbers(numbers: list[int], count: int) -> str:
    named = ", ".join(str(number) for number in numbers[:ROWS_NAMED])
    rest = count - min(len(numbers), ROWS_NAMED)
    if not named:
        return ""
    if rest > 0:
        return _("rows %(named)s and %(rest)s more") % {"named": named, "rest": rest}
    return _("rows %(named)s") % {"named": named}


@require_safe
@team_page("view")
def dataset_version_about(request: HttpRequest, team: Team, uid: str, number: int) -> HttpResponse:
    """Where it comes from, the other versions, and what uses it."""
    version = selectors.dataset_version(user=request.user, team=team, uid=uid, number=number)
    context = {
        **frame(request, team, version, "dataset_version_about"),
        "fixes": fix_facts(version),
        "versions": selectors.versions_of(user=request.user, dataset=version.dataset),
        "version_columns": [
            {"label": _("Version")},
            {"label": _("Rows"), "numeric": True},
            {"label": _("How it was made")},
            {"label": _("By")},
            {"label": _("Made")},
        ],
        "experiments": selectors.experiments_on(user=request.user, version=version),
        "use_columns": [{"label": _("Experiment")}, {"label": _("State")}],
    }
    return render_page(request, "experiments/dataset_version_about.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def dataset_version_derive(request: HttpRequest, team: Team, uid: str, number: int) -> HttpResponse:
    """Make the next version of this one: some of its rows, or more rows."""
    version = selectors.dataset_version(user=request.user, team=team, uid=uid, number=number, action="edit")
    labels = list((version.answer or {}).get("labels", []))
    form = DeriveForm(request.POST if request.method == "POST" else None, labels=labels)
    if form.is_bound and form.is_valid():
        try:
            made = derived_versions.dataset_version_derive(actor=request.user, version=version, **form.as_arguments())
        except ApplicationError as error:
            refuse_in_form(form, error)
        else:
            return _derived(request, team, made)
    context = {**frame(request, team, version, ""), "form": form}
    status = 422 if form.is_bound else 200
    return render_page(request, "experiments/dataset_version_derive.html", context, status=status)


def _derived(request: HttpRequest, team: Team, made: DatasetVersion) -> HttpResponse:
    messages.success(request, _("Version %(n)s is ready. Every row kept its split.") % {"n": made.number})
    return redirect("dataset_version", team=team.slug, uid=made.dataset.uid, number=made.number)


@require_POST
@team_page("view")
def dataset_version_fresh_test(request: HttpRequest, team: Team, uid: str, number: int) -> HttpResponse:
    """The same rows as a new dataset with a test set that nobody has looked at."""
    version = selectors.dataset_version(user=request.user, team=team, uid=uid, number=number, action="edit")
    try:
        made = derived_versions.dataset_fresh_test(actor=request.user, version=version)
    except ApplicationError as error:
        refuse_on_page(request, error)
        return redirect("dataset_version_about", team=team.slug, uid=uid, number=number)
    messages.success(
        request, _("%(name)s has a test set with no row that was tested before.") % {"name": made.dataset.name}
    )
    return redirect("dataset_version", team=team.slug, uid=made.dataset.uid, number=made.number)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def dataset_row(request: HttpRequest, team: Team, uid: str, number: int, row: str) -> HttpResponse:
    """One row of train or validation. A POST gives it another input or answer, or leaves it out, in a new version."""
    action = "edit" if request.method == "POST" else "view"
    version = selectors.dataset_version(user=request.user, team=team, uid=uid, number=number, action=action)
    found = selectors.visible_row(version, row)
    if request.POST.get("do") == "leave_out":
        return _left_out(request, team, version, found.id)
    form = RowForm(request.POST if request.method == "POST" else None, initial=vars(found))
    if form.is_bound and form.is_valid():
        try:
            made = derived_versions.dataset_version_derive(
                actor=request.user,
                version=version,
                operation="fix",
                row_id=found.id,
                new_input=form.cleaned_data["input"],
                new_expected=form.cleaned_data["expected"],
            )
        except ApplicationError as error:
            refuse_in_form(form, error)
        else:
            return _derived(request, team, made)
    where = reverse("dataset_version", args=[team.slug, version.dataset.uid, version.number])
    context = {**frame(request, team, version, ""), "row": found, "form": form}
    context["crumbs"].append({"label": str(version), "url": f"{where}?split={found.split}"})
    status = 422 if form.is_bound else 200
    return render_page(request, "experiments/dataset_row.html", context, status=status)


def _left_out(request: HttpRequest, team: Team, version: DatasetVersion, row_id: str) -> HttpResponse:
    try:
        made = derived_versions.dataset_version_derive(
            actor=request.user, version=version, operation="leave_out", ids=[row_id]
        )
    except ApplicationError as error:
        refuse_on_page(request, error)
        return redirect(request.path)
    return _derived(request, team, made)
