"""Settings of a team: its keys for providers, and whether text may leave at all."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import may
from apps.accounts.services.people import team_text_may_leave_set
from apps.core.errors import ApplicationError
from apps.core.pages import page_number, render_page
from apps.core.refusals import refuse_in_form, refuse_on_page
from apps.providers import selectors, services
from apps.providers.forms import LimitsForm, ProviderKeyForm, SecretForm
from apps.providers.models import ProviderKey

PAGE_SIZE = 50


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def provider_keys(request: HttpRequest, team: Team) -> HttpResponse:
    """Every key with its state; a POST adds one. The answer to it never holds the key's text."""
    if request.method != "POST":
        return _list_page(request, team, ProviderKeyForm())
    form = ProviderKeyForm(request.POST)
    if not form.is_valid():
        return _list_page(request, team, form, status=422)
    try:
        key = services.provider_key_create(actor=request.user, team=team, **form.cleaned_data)
    except ApplicationError as error:
        refuse_in_form(form, error)
        return _list_page(request, team, form, status=422)
    messages.success(request, _("The key “%(name)s” is added.") % {"name": key.name})
    return redirect("provider_key", team=team.slug, uid=key.uid)


def _list_page(request: HttpRequest, team: Team, form: ProviderKeyForm, status: int = 200) -> HttpResponse:
    page = Paginator(selectors.provider_keys(user=request.user, team=team), PAGE_SIZE).get_page(page_number(request))
    context = {
        "page_obj": page,
        "rows": selectors.provider_key_rows(page),
        "columns": [
            {"label": _("Name")},
            {"label": _("Key")},
            {"label": _("State")},
            {"label": _("Where text goes")},
            {"label": _("Models"), "numeric": True},
            {"label": _("At once"), "unit": _("calls"), "numeric": True},
        ],
        "offers": selectors.environment_offers(user=request.user, team=team),
        "may_manage": may(user=request.user, team=team, action="manage"),
        "form": form,
    }
    return render_page(request, "providers/keys.html", context, status=status)


@require_safe
@team_page("view")
def provider_key(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """One key: what is known of it, what it is used by, and what can be changed."""
    return _key_page(request, team, selectors.provider_key(user=request.user, team=team, uid=uid))


def _key_page(
    request: HttpRequest,
    team: Team,
    key: ProviderKey,
    *,
    secret: SecretForm | None = None,
    limits: LimitsForm | None = None,
) -> HttpResponse:
    values = {"max_concurrency": key.max_concurrency, "requests_per_minute": key.requests_per_minute}
    context = {
        "row": selectors.provider_key_rows([key])[0],
        "use_columns": [{"label": _("Model")}, {"label": _("Served as")}],
        "crumbs": [{"label": _("Providers"), "url": reverse("provider_keys", args=[team.slug])}],
        "may_manage": may(user=request.user, team=team, action="manage"),
        "may_test": may(user=request.user, team=team, action="edit"),
        "replaceable": key.source == ProviderKey.Source.ENTERED and key.revoked_at is None,
        "live": key.revoked_at is None,
        "secret": secret or SecretForm(),
        "limits": limits or LimitsForm(initial=values),
    }
    return render_page(request, "providers/key.html", context, status=422 if secret or limits else 200)


@require_POST
@team_page("view")
def replace(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Another secret in the place of the old one."""
    key = selectors.provider_key(user=request.user, team=team, uid=uid, action="manage")
    form = SecretForm(request.POST)
    if not form.is_valid():
        return _key_page(request, team, key, secret=form)
    try:
        services.provider_key_replace(actor=request.user, key=key, secret=form.cleaned_data["secret"])
    except ApplicationError as error:
        refuse_in_form(form, error)
        key.refresh_from_db()
        return _key_page(request, team, key, secret=form)
    messages.success(request, _("The key is replaced. Calls that begin now are made with the new one."))
    return redirect("provider_key", team=team.slug, uid=key.uid)


@require_POST
@team_page("view")
def limits(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    key = selectors.provider_key(user=request.user, team=team, uid=uid, action="manage")
    form = LimitsForm(request.POST)
    if not form.is_valid():
        return _key_page(request, team, key, limits=form)
    try:
        services.provider_key_limits_change(actor=request.user, key=key, **form.cleaned_data)
    except ApplicationError as error:
        refuse_in_form(form, error)
        return _key_page(request, team, key, limits=form)
    messages.success(request, _("The limits are changed."))
    return redirect("provider_key", team=team.slug, uid=key.uid)


@require_POST
@team_page("view")
def revoke(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    key = selectors.provider_key(user=request.user, team=team, uid=uid, action="manage")
    return _pressed(
        request,
        team,
        lambda: services.provider_key_revoke(actor=request.user, key=key),
        _("The key “%(name)s” is revoked and its secret deleted.") % {"name": key.name},
    )


@require_POST
@team_page("manage")
def take_up(request: HttpRequest, team: Team) -> HttpResponse:
    """Use the key that the operator offers in the environment."""
    provider = request.POST.get("provider", "")
    return _pressed(
        request,
        team,
        lambda: services.provider_key_from_environment(actor=request.user, team=team, provider=provider),
        _("This team uses the key from the environment."),
    )


@require_POST
@team_page("manage")
def text_may_leave(request: HttpRequest, team: Team) -> HttpResponse:
    """Allow or forbid models that send text to other companies."""
    allowed = request.POST.get("allowed") == "yes"
    return _pressed(
        request,
        team,
        lambda: team_text_may_leave_set(actor=request.user, team=team, allowed=allowed),  # type: ignore[arg-type]
        _("Text may be sent to other companies.") if allowed else _("No text is sent to other companies any more."),
    )


def _pressed(request: HttpRequest, team: Team, press: Any, done: str) -> HttpResponse:
    try:
        press()
    except ApplicationError as error:
        refuse_on_page(request, error)
    else:
        messages.success(request, done)
    return redirect("provider_keys", team=team.slug)
