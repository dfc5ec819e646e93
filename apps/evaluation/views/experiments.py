"""Experiments: the list, and of each one its answer, its money, its definition and its report."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import may
from apps.billing.selectors import experiment_cost
from apps.core.pages import already_shown, render_page
from apps.evaluation import selectors
from apps.evaluation.charts import cost_chart, difference_chart
from apps.evaluation.comparisons import comparison_rows, exploratory_rows
from apps.evaluation.figures import metric_label
from apps.evaluation.notices import notices
from apps.evaluation.selectors.board import Board
from apps.evaluation.selectors.lists import DEFAULT_SORT
from apps.evaluation.selectors.offers import commercial_offer
from apps.evaluation.views import columns
from apps.evaluation.views.frame import fetch, frame
from apps.experiments.models import Experiment

PAGE_SIZE = 25


@require_safe
@team_page("view")
def experiment_list(request: HttpRequest, team: Team) -> HttpResponse:
    found = selectors.experiments_sorted(user=request.user, team=team, sort=request.GET.get("sort", DEFAULT_SORT))
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query["part"] = "rows"
    context = {
        "page_obj": page,
        "refresh": query.urlencode(),
        "rows": selectors.experiment_rows(list(page.object_list)),
        "columns": columns.list_columns(),
        "sorted": DEFAULT_SORT,
    }
    return render_page(request, "experiments/experiments.html", context, parts=("rows",))


@require_safe
@team_page("view")
def experiment(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """The answer. Parts are read again while it runs; each reads only what it shows, and 204 says that it has."""
    found = fetch(request, team, uid)
    part = request.GET.get("part", "") if request.htmx else ""  # type: ignore[attr-defined]
    context = frame(team, found, "experiment") | {"may_edit": may(user=request.user, team=team, action="edit")}
    if not part and already_shown(request, context["shown_state"]):
        return HttpResponse(status=204)
    if part in ("", "latest"):
        context |= _latest(found)
    if part != "latest":
        board = selectors.board(found)
        if part == "evidence" and already_shown(request, str(board.ended)):
            return HttpResponse(status=204)
        context |= _board(found, board)
        if part != "board":
            context |= _evidence(found, board)
    return render_page(request, "experiments/experiment.html", context, parts=("board", "latest", "evidence"))


def _latest(found: Experiment) -> dict[str, Any]:
    return {"latest": selectors.latest_output(found) if found.is_open else None}


def _board(found: Experiment, board: Board) -> dict[str, Any]:
    board_columns = columns.board_columns(board, level_of(found))
    # Before the candidates are registered, what happens is the choice of demonstrations.
    return {
        "trials": [] if board.rows else selectors.trials(found),
        "trial_columns": columns.trial_columns(found),
        "board": board,
        "board_columns": board_columns,
        # A row without figures fills everything beside its name.
        "figure_columns": len(board_columns) - 1,
        "level": level_of(found),
        "primary_label": metric_label(found.primary_metric, found.answer),
    }


def _evidence(found: Experiment, board: Board) -> dict[str, Any]:
    """What follows from the figures; it changes only when an evaluation has ended."""
    conclusion = board.document.get("conclusion", {})
    return {
        "conclusion": conclusion,
        "recommended": selectors.recommended_text(conclusion),
        "comparisons": comparison_rows(board.document),
        "comparison_columns": columns.comparison_columns(),
        "exploratory": exploratory_rows(board.document),
        "exploratory_columns": columns.exploratory_columns(),
        "differences": difference_chart(board),
        "costs": cost_chart(board),
        "offer": commercial_offer(found),
        "telling": selectors.telling_examples(found),
        "notices": notices(found, board),
    }


def level_of(found: Experiment) -> str:
    """The confidence of the experiment's intervals, in percent."""
    return f"{100 * (1 - found.alpha):g}"


@require_safe
@team_page("view")
def cost(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    found = fetch(request, team, uid)
    board = selectors.board(found)
    context = frame(team, found, "experiment_cost") | {
        "money": experiment_cost(found),
        "rows": selectors.candidate_costs(found),
        "columns": [
            {"label": _("Candidate")},
            {"label": _("Run on")},
            {"label": _("Calls"), "numeric": True},
            {"label": _("Spent"), "unit": "USD", "numeric": True},
            {"label": _("Held"), "unit": "USD", "numeric": True},
        ],
        "board": board,
        "request_columns": [
            {"label": _("Candidate")},
            {"label": _("Cost per 1,000 requests"), "unit": "USD", "numeric": True},
            {"label": _("Interval"), "numeric": True},
            {"label": _("n"), "numeric": True},
        ],
        "prices": selectors.candidate_prices(found),
        "level": level_of(found),
        "costs": cost_chart(board),
    }
    return render_page(request, "experiments/experiment_cost.html", context)


@require_safe
@team_page("view")
def setup(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    found = fetch(request, team, uid)
    context = frame(team, found, "experiment_setup") | _definition(found)
    return render_page(request, "experiments/experiment_setup.html", context)


def _definition(found: Experiment) -> dict[str, Any]:
    return {
        "version": found.dataset_version,
        "metrics": [metric_label(name, found.answer) for name in found.metrics],
        "primary_label": metric_label(found.primary_metric, found.answer),
        "level": level_of(found),
        "definitions": selectors.candidate_definitions(found),
        "candidate_columns": [
            {"label": _("Candidate")},
            {"label": _("Kind")},
            {"label": _("Model")},
            {"label": _("Prompt")},
            {"label": _("Token limit"), "numeric": True},
            {"label": _("Temperature"), "numeric": True},
            {"label": _("Frozen")},
        ],
        "trials": selectors.trials(found),
        "trial_columns": columns.trial_columns(found),
        "hash_holds": selectors.definition_holds(found),
        "family_columns": [{"label": _("Candidate")}, {"label": _("Compared with")}],
    }


@require_safe
@team_page("view")
def report(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    found = fetch(request, team, uid)
    context = frame(team, found, "experiment_report") | {"finished": bool(found.report_artifact)}
    if found.report_artifact:
        board = selectors.board(found)
        context |= _board(found, board) | _evidence(found, board) | _definition(found)
        context["link"] = request.build_absolute_uri(request.path)
    return render_page(request, "experiments/experiment_report.html", context)
