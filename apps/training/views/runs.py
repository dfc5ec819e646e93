"""The list of training runs, and one run, live."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import role_in
from apps.core.formats import setting_lines
from apps.core.job_actions import job_part
from apps.core.live import topic_of
from apps.core.pages import render_page
from apps.core.roles import roles_for
from apps.training import charts, selectors
from apps.training.models import TrainingRun
from apps.training.planning import clone_query
from apps.training.queueing import queue_text
from apps.training.runlist import prediction_of, prediction_text, run_rows
from apps.training.runlist import training_runs as training_run_list

PAGE_SIZE = 50
PARTS = ("progress", "samples", "charts", "log")


@require_safe
@team_page("view")
def training_runs(request: HttpRequest, team: Team) -> HttpResponse:
    """Every run of the team, newest first, with the places of those that wait."""
    role = role_in(user=request.user, team=team)
    page = Paginator(training_run_list(user=request.user, team=team), PAGE_SIZE).get_page(request.GET.get("page"))
    query = request.GET.copy()
    query["part"] = "rows"
    context = {
        "page_obj": page,
        "rows": run_rows(list(page), role=role),
        "may_edit": role in roles_for("edit"),
        "refresh": query.urlencode(),
        "columns": [
            {"label": _("Run")},
            {"label": _("Base model")},
            {"label": _("Dataset version")},
            {"label": _("State")},
            {"label": _("Done"), "numeric": True},
            {"label": _("Time left"), "numeric": True},
            {"label": _("Planned")},
            {"label": _("Actions"), "hidden_label": True},
        ],
    }
    return render_page(request, "training/training_runs.html", context, parts=("rows",))


@require_safe
@team_page("view")
def training_run(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """One run; while it works each part is read again on its own."""
    run = selectors.training_run(user=request.user, team=team, uid=uid)
    role = role_in(user=request.user, team=team)
    part = request.GET.get("part", "") if request.htmx else ""  # type: ignore[attr-defined]
    context: dict[str, Any] = {
        "run": run,
        "row": job_part(run, role=role),
        "may_edit": role in roles_for("edit"),
        "query": clone_query(run),
        "prediction": prediction_of(run),
        "prediction_text": prediction_text(run),
        "place": queue_text(run),
        "crumbs": [{"label": _("Training"), "url": reverse("training_runs", args=[team.slug])}],
        "topic_url": f"{reverse('home', args=[team.slug])}events/?topic={topic_of(run)}",
        "log_missing": _("Nothing was logged yet."),
    }
    if part in ("", "progress"):
        context |= {"stages": selectors.phase_stages(run)}
        context["progress"] = selectors.run_progress(run)
    if part in ("", "samples"):
        context["samples"] = selectors.shown_samples(run)
    if part in ("", "charts"):
        context["charts"] = _charts(run)
    if not part:
        context |= {
            "spec": setting_lines({**run.spec, **run.limits}),
            "checkpoints": run.checkpoints.all(),
            "checkpoint_columns": _checkpoint_columns(),
        }
    return render_page(request, "training/training_run.html", context, parts=PARTS)


def _charts(run: TrainingRun) -> list[tuple[str, charts.Chart]]:
    def of(name: str) -> selectors.Series:
        return selectors.series(run, name)

    sizes = charts.validation_size(run.spec)
    found = {
        "token-loss": charts.token_loss_chart(of("train_loss"), of("validation_token_loss"), sizes),
        "answer-loss": charts.answer_loss_chart(of("validation_answer_loss"), sizes),
        "accuracy": charts.accuracy_chart(of("validation_token_accuracy"), of("validation_answer_accuracy"), sizes),
        "rate": charts.rate_chart(of("trained_tokens_per_second")),
        "memory": charts.memory_chart(of("memory_mib")),
    }
    return [(name, chart) for name, chart in found.items() if chart is not None]


def _checkpoint_columns() -> list[dict[str, Any]]:
    return [
        {"label": _("Step"), "numeric": True},
        {"label": _("Saved")},
        {"label": _("Size"), "numeric": True},
        {"label": "SHA-256"},
    ]
