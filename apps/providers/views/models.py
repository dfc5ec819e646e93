"""Adding models: from the written list, from a folder of this machine, from a file that is sent."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import may
from apps.core.errors import ApplicationError
from apps.core.formats import size_text
from apps.core.pages import render_page
from apps.core.refusals import refuse_in_form, refuse_on_page
from apps.providers import entries, selectors
from apps.providers.forms import FolderForm, UploadForm
from apps.providers.models import LanguageModel
from apps.providers.services import fetches


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("edit")
def model_add(request: HttpRequest, team: Team) -> HttpResponse:
    """A page with both ways; a POST sends an archive, or names a folder."""
    bases = selectors.base_choices(user=request.user, team=team)
    if request.method != "POST":
        return _add_page(request, team, bases)
    if request.FILES or request.POST.get("way") == "upload":
        form: UploadForm | FolderForm = UploadForm(request.POST, request.FILES, bases=bases)
    else:
        form = FolderForm(request.POST, bases=bases)
    if form.is_valid():
        try:
            fetch = _add(request, team, form.cleaned_data)
        except ApplicationError as error:
            refuse_in_form(form, error)
        else:
            messages.success(request, _("The model is being added. You may leave this page."))
            return redirect(_back(request, team) or reverse("model", args=[team.slug, fetch.language_model.uid]))
    return _add_page(request, team, bases, form)


def _back(request: HttpRequest, team: Team) -> str:
    """The form that sent the person here, with what was chosen in it; empty for an address that is not this team's."""
    wanted = request.GET.get("next", "")
    inside = wanted.startswith(reverse("home", args=[team.slug])) and url_has_allowed_host_and_scheme(wanted, None)
    return wanted if inside else ""


def _add(request: HttpRequest, team: Team, given: dict[str, Any]) -> Any:
    chosen = given.pop("base_model")
    base: LanguageModel | None = None
    if chosen:
        base = selectors.language_model(user=request.user, team=team, uid=chosen)
    if "file" in given:
        return fetches.model_upload_add(actor=request.user, team=team, base_model=base, **given)
    return fetches.model_folder_add(actor=request.user, team=team, base_model=base, **given)


def _add_page(
    request: HttpRequest, team: Team, bases: list[tuple[str, str]], form: UploadForm | FolderForm | None = None
) -> HttpResponse:
    context = {
        "crumbs": [{"label": _("Models"), "url": reverse("models", args=[team.slug])}],
        "upload": form if isinstance(form, UploadForm) else UploadForm(bases=bases),
        "folder": form if isinstance(form, FolderForm) else FolderForm(bases=bases, auto_id="folder_%s"),
        "limit": size_text(entries.upload_limit_bytes()),
        "folders": settings.MODEL_FOLDERS,
        "here": request.get_full_path(),
        "may_name_folders": may(user=request.user, team=team, action="manage"),
    }
    return render_page(request, "providers/model_add.html", context, status=200 if form is None else 422)


@require_POST
@team_page("edit")
def model_download(request: HttpRequest, team: Team) -> HttpResponse:
    """Download a model of the written list."""
    return _pressed(request, team, lambda key: fetches.model_download(actor=request.user, team=team, key=key))


@require_POST
@team_page("edit")
def model_on_disk(request: HttpRequest, team: Team) -> HttpResponse:
    """Make a model known whose files are here."""
    return _pressed(request, team, lambda key: fetches.model_on_disk_add(actor=request.user, team=team, key=key))


def _pressed(request: HttpRequest, team: Team, press: Any) -> HttpResponse:
    try:
        press(request.POST.get("key", ""))
    except ApplicationError as error:
        refuse_on_page(request, error)
    return redirect("models", team=team.slug)
