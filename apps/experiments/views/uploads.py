"""From a file to a dataset: send it, see what it holds, say what it means, see what became of every row."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import may, role_in
from apps.core.errors import ApplicationError
from apps.core.formats import size_text
from apps.core.job_actions import job_part
from apps.core.live import topic_of
from apps.core.models import JobModel
from apps.core.pages import render_page
from apps.core.refusals import refuse_in_form, refuse_on_page
from apps.core.streaming import download, file_chunks
from apps.core.uploads.handler import QuarantineHandler
from apps.experiments import selectors
from apps.experiments.forms import FixesForm, ImportForm, UploadForm
from apps.experiments.mapping import as_answer, examples, is_chat, suggested
from apps.experiments.models import DatasetImport, Upload
from apps.experiments.reports import (
    example_columns,
    import_facts,
    inspection_facts,
    problem_columns,
    shown_problems,
)
from apps.experiments.services import imports
from apps.experiments.services.uploads import upload_create, upload_refuse

PARTS = ("body",)
SAMPLES = (
    {
        "format": "CSV",
        "text": 'input,expected\n"The parcel came late, and open",complaint\nWhere is my order?,question\n',
    },
    {
        "format": "JSONL",
        "text": '{"messages": [{"role": "user", "content": "Where is my order?"},'
        ' {"role": "assistant", "content": "question"}]}\n',
    },
)


@csrf_exempt  # checked in _receive: only after the permission, and only once the file knows where to go
@require_http_methods(["GET", "HEAD", "POST"])
@team_page("edit")
def dataset_new(request: HttpRequest, team: Team) -> HttpResponse:
    """Choose a file; a POST takes it into quarantine and starts the job that looks at it."""
    target = request.GET.get("dataset", "")
    if target:
        selectors.dataset(user=request.user, team=team, uid=target, action="edit")
    if request.method != "POST":
        return _new_page(request, team, UploadForm(help_text=_limits_text()))
    handler = QuarantineHandler(request)
    request.upload_handlers = [handler]
    try:
        answer: HttpResponse = _receive(request, team, handler, target)
    finally:
        handler.release()
    return answer


@csrf_protect
def _receive(request: HttpRequest, team: Team, handler: QuarantineHandler, target: str) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES, help_text=_limits_text())
    if handler.too_large:
        refused = _("%(name)s is larger than %(size)s. Split it, or send fewer rows.") % {
            "name": handler.sent_name,
            "size": size_text(settings.UPLOAD_MAX_BYTES),
        }
        upload_refuse(actor=request.user, team=team, name=handler.sent_name, reason=refused)
        form.errors.clear()
        form.add_error("file", refused)
    received = handler.take() if form.is_valid() else None
    if received is None:
        return _not_received(request, team, form)
    upload = upload_create(actor=request.user, team=team, received=received)
    url = reverse("upload", args=[team.slug, upload.uid]) + (f"?dataset={target}" if target else "")
    return JsonResponse({"location": url}) if _by_script(request) else redirect(url)


def _not_received(request: HttpRequest, team: Team, form: UploadForm) -> HttpResponse:
    if _by_script(request):
        return JsonResponse({"error": " ".join(str(said) for said in form.errors["file"])}, status=422)
    return _new_page(request, team, form, status=422)


def _by_script(request: HttpRequest) -> bool:
    """Whether static/js/upload.js sends the file, which keeps the page, and the file chosen, when there is an error."""
    return request.headers.get("Accept") == "application/json"


def _limits_text() -> str:
    return _("Choose it, or drop it on this page: CSV, TSV, JSONL or JSON, up to %(size)s.") % {
        "size": size_text(settings.UPLOAD_MAX_BYTES)
    }


def _new_page(request: HttpRequest, team: Team, form: UploadForm, status: int = 200) -> HttpResponse:
    context = {"form": form, "crumbs": _crumbs(team), "max_bytes": settings.UPLOAD_MAX_BYTES, "samples": SAMPLES}
    return render_page(request, "experiments/dataset_new.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def upload(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """What a sent file holds, live; then what its columns mean. A POST starts the checking of every row."""
    if request.method == "POST":
        return _import_start(request, team, selectors.upload(user=request.user, team=team, uid=uid, action="edit"))
    return _upload_page(request, team, selectors.upload(user=request.user, team=team, uid=uid))


def _import_start(request: HttpRequest, team: Team, found: Upload) -> HttpResponse:
    form = _import_form(request, team, found, request.POST)
    if not form.is_valid():
        return _upload_page(request, team, found, form)
    chosen = form.cleaned_data
    target = chosen["dataset"]
    try:
        made = imports.dataset_import_create(
            actor=request.user,
            upload=found,
            mapping=form.mapping(),
            answer=as_answer(chosen),
            name=chosen["name"].strip(),
            validation_percent=chosen["validation_percent"],
            test_percent=chosen["test_percent"],
            dataset=selectors.dataset(user=request.user, team=team, uid=target, action="edit") if target else None,
            fixes=form.accepted_fixes(),
        )
    except ApplicationError as error:
        refuse_in_form(form, error)
        return _upload_page(request, team, found, form)
    return redirect("dataset_import", team=team.slug, uid=made.uid)


def _import_form(request: HttpRequest, team: Team, found: Upload, data: Any = None) -> ImportForm:
    initial = {**suggested(found.inspection), "name": found.name.rpartition(".")[0] or found.name}
    initial["dataset"] = request.GET.get("dataset", "")
    initial |= {name: request.GET[name] for name in ("input", "expected", "group") if name in request.GET}
    if "keep" in request.GET:
        initial["keep"] = request.GET.getlist("keep")
    if initial["expected"] != suggested(found.inspection)["expected"]:
        # Labels and keys were found in another column.
        initial |= {"labels": "", "keys": ""}
    choices = selectors.dataset_choices(user=request.user, team=team)
    return ImportForm(data, initial=initial, inspection=found.inspection, datasets=choices)


def _upload_page(request: HttpRequest, team: Team, found: Upload, form: ImportForm | None = None) -> HttpResponse:
    context = _job_context(request, team, found)
    if found.status == "succeeded":
        may_edit = may(user=request.user, team=team, action="edit")
        shown = form or (_import_form(request, team, found) if may_edit else None)
        chosen = _chosen(shown) if shown is not None else suggested(found.inspection)
        context |= {
            "form": shown,
            "chat": is_chat(found.inspection),
            "facts": inspection_facts(found),
            "examples": examples(found.inspection, chosen),
            "problems": shown_problems(found.inspection),
            "problem_columns": problem_columns(),
            "example_columns": example_columns(),
        }
        if request.htmx and request.GET.get("part") == "examples":  # type: ignore[attr-defined]
            return render(request, "experiments/_upload_examples.html", context)
    status = 422 if form is not None else 200
    return render_page(request, "experiments/upload.html", {"upload": found, **context}, parts=PARTS, status=status)


def _chosen(form: ImportForm) -> dict[str, Any]:
    """What the form says now, whether it is right or not."""
    if form.is_bound:
        return {**form.data.dict(), "keep": form.data.getlist("keep")}  # type: ignore[attr-defined]
    return dict(form.initial)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def dataset_import(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """The checking of every row, live; then what became of them. A POST checks the file again with other fixes."""
    if request.method != "POST":
        return _checked_page(request, team, selectors.dataset_import(user=request.user, team=team, uid=uid))
    found = selectors.dataset_import(user=request.user, team=team, uid=uid, action="edit")
    form = FixesForm(request.POST, found=found.report)
    if not form.is_valid():
        return _checked_page(request, team, found, form)
    try:
        made = imports.dataset_import_again(actor=request.user, dataset_import=found, fixes=form.accepted_fixes())
    except ApplicationError as error:
        refuse_on_page(request, error)
        return redirect("dataset_import", team=team.slug, uid=uid)
    return redirect("dataset_import", team=team.slug, uid=made.uid)


def _checked_page(
    request: HttpRequest, team: Team, found: DatasetImport, form: FixesForm | None = None
) -> HttpResponse:
    status = 422 if form is not None else 200
    context = {"dataset_import": found, "may_edit": may(user=request.user, team=team, action="edit")}
    if found.status == "succeeded":
        form = form or FixesForm(found=found.report, accepted=found.fixes)
        context |= {"facts": import_facts(found), "problem_columns": problem_columns(), "form": form}
    context |= _job_context(request, team, found)
    return render_page(request, "experiments/dataset_import.html", context, parts=PARTS, status=status)


@require_POST
@team_page("view")
def dataset_import_accept(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Make the dataset version of what was staged."""
    found = selectors.dataset_import(user=request.user, team=team, uid=uid, action="edit")
    try:
        version = imports.dataset_import_accept(actor=request.user, dataset_import=found)
    except ApplicationError as error:
        refuse_on_page(request, error)
        return redirect("dataset_import", team=team.slug, uid=uid)
    messages.success(request, _("Version %(n)s is ready.") % {"n": version.number})
    return redirect("dataset_version", team=team.slug, uid=version.dataset.uid, number=version.number)


@require_safe
@team_page("view")
def dataset_import_problems(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Every problem of an import as CSV, in which nothing runs as a formula."""
    found = selectors.dataset_import(user=request.user, team=team, uid=uid)
    chunks = file_chunks(selectors.staged_problems(found))
    return download(chunks, name=f"problems-{found.uid}.csv", content_type="text/csv; charset=utf-8")  # type: ignore[return-value]


def _job_context(request: HttpRequest, team: Team, job: JobModel) -> dict[str, Any]:
    return {
        "row": job_part(job, role=role_in(user=request.user, team=team)),
        "crumbs": _crumbs(team),
        "topic_url": f"{reverse('home', args=[team.slug])}events/?topic={topic_of(job)}",
    }


def _crumbs(team: Team) -> list[dict[str, str]]:
    return [{"label": _("Datasets"), "url": reverse("datasets", args=[team.slug])}]
