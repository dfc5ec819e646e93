"""The report of a finished experiment, to take away."""

import json

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.evaluation.report_markdown import report_markdown
from apps.evaluation.selectors import report_document
from apps.evaluation.views.frame import fetch


@require_safe
@team_page("view")
def report_json(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """The stored document, from which every figure can be computed again."""
    document = report_document(fetch(request, team, uid))
    text = json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True)
    return _download(text, "application/json", "report.json")


@require_safe
@team_page("view")
def report_md(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """What the page of the report says, as Markdown."""
    found = fetch(request, team, uid)
    report_document(found)  # not found until it is written
    return _download(report_markdown(found), "text/markdown", "report.md")


def _download(text: str, content_type: str, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(text, content_type=f"{content_type}; charset=utf-8", headers=headers)
