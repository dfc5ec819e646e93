"""Settings of a team: the API keys that it has issued."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.forms import APIKeyChangeForm, APIKeyForm, last_day_of
from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import api_key_for, api_keys_of, may, scopes_for
from apps.accounts.services import keys
from apps.core.errors import ApplicationError
from apps.core.refusals import refuse_in_form, refuse_on_page

PAGE_SIZE = 50


def _page(request: HttpRequest, team: Team, form: APIKeyForm | None = None, **more: Any) -> HttpResponse:
    found = api_keys_of(user=request.user, team=team)
    context = {
        "page_obj": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "columns": [
            {"label": _("Name")},
            {"label": _("Key")},
            {"label": _("Person")},
            {"label": _("Scopes")},
            {"label": _("State")},
            {"label": _("Last used")},
            {"label": _("Expires")},
            {"label": _("Actions"), "hidden_label": True},
        ],
        "sees_all": may(user=request.user, team=team, action="manage"),
        "form": form or APIKeyForm(scopes=scopes_for(user=request.user, team=team)),
        **more,
    }
    return render(request, "accounts/api_keys.html", context, status=422 if form is not None else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def api_keys(request: HttpRequest, team: Team) -> HttpResponse:
    """The keys that this person may see; a POST makes one, whose text stands in this answer and nowhere else."""
    if request.method != "POST":
        return _page(request, team)
    form = APIKeyForm(request.POST, scopes=scopes_for(user=request.user, team=team))
    if not form.is_valid():
        return _page(request, team, form)
    try:
        made = keys.api_key_create(
            actor=request.user,  # type: ignore[arg-type]
            team=team,
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            expires_at=form.end(),
        )
    except ApplicationError as error:
        refuse_in_form(form, _at_the_day(error))
        return _page(request, team, form)
    address = request.build_absolute_uri(reverse("api_models"))
    return _page(request, team, made=made, command=f'curl {address} -H "Authorization: Bearer {made.text}"')


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def api_key(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """One key: its name and end can be changed by its person."""
    key = api_key_for(user=request.user, team=team, uid=uid)
    form = APIKeyChangeForm(
        request.POST if request.method == "POST" else None,
        initial={"name": key.name, "ends_on": last_day_of(key.expires_at)},
    )
    if request.method == "POST" and form.is_valid():
        try:
            keys.api_key_change(actor=request.user, key=key, name=form.cleaned_data["name"], expires_at=form.end())  # type: ignore[arg-type]
        except ApplicationError as error:
            refuse_in_form(form, _at_the_day(error))
        else:
            messages.success(request, _("The key %(name)s is changed.") % {"name": form.cleaned_data["name"]})
            return redirect("api_keys", team=team.slug)
    changeable = key.person_id == request.user.pk and key.state != "revoked"
    crumbs = [{"label": _("API keys"), "url": reverse("api_keys", args=[team.slug])}]
    context = {"key": key, "form": form, "changeable": changeable, "crumbs": crumbs}
    return render(request, "accounts/api_key.html", context, status=422 if form.errors else 200)


@require_POST
@team_page("view")
def api_key_revoke(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    key = api_key_for(user=request.user, team=team, uid=uid)
    try:
        keys.api_key_revoke(actor=request.user, key=key)  # type: ignore[arg-type]
    except ApplicationError as error:
        refuse_on_page(request, error)
    else:
        messages.success(request, _("The key %(name)s is revoked.") % {"name": key.name})
    return redirect("api_keys", team=team.slug)


def _at_the_day(error: ApplicationError) -> ApplicationError:
    """The form asks for a key's end as its last day."""
    if error.field == "expires_at":
        error.field = "ends_on"
    return error
