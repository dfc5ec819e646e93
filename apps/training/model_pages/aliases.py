"""Moving the names of versions."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.core.errors import ApplicationError, NotFound
from apps.core.refusals import refuse_on_page
from apps.providers import selectors
from apps.training.model_pages.reading import version_of
from apps.training.models import ModelVersion
from apps.training.services.aliases import model_alias_remove, model_alias_roll_back, model_alias_set


@require_POST
@team_page("edit")
def model_alias(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Let an alias name this version."""
    return _changed(request, team, uid, model_alias_set)


@require_POST
@team_page("edit")
def model_alias_off(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Take an alias off this version."""
    return _changed(request, team, uid, model_alias_remove)


@require_POST
@team_page("edit")
def model_alias_back(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Give an alias back to the version before, and show that version."""
    return _changed(request, team, uid, model_alias_roll_back)


def _changed(request: HttpRequest, team: Team, uid: str, service: Any) -> HttpResponse:
    version = version_of(selectors.language_model(user=request.user, team=team, uid=uid))
    if version is None:
        raise NotFound(_("Only a version that was trained here has aliases."))
    alias = request.POST.get("alias", "")
    try:
        moved = service(actor=request.user, version=version, alias=alias)
    except ApplicationError as error:
        refuse_on_page(request, error)
        # What was typed is still there, to be mended.
        typed = urlencode({"alias": alias[:200]})
        return redirect(f"{reverse('model', args=[team.slug, version.language_model.uid])}?{typed}#aliases")
    shown = moved.language_model if isinstance(moved, ModelVersion) else version.language_model
    return redirect("model", team=team.slug, uid=shown.uid)
