"""Settings of a team: its members."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.forms import MemberForm
from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import assignable_roles, may, member_rows, members_of, membership_for
from apps.accounts.services import people
from apps.core.errors import ApplicationError
from apps.core.refusals import refuse_in_form, refuse_on_page

PAGE_SIZE = 50


def _page(request: HttpRequest, team: Team, form: MemberForm | None = None, **more: Any) -> HttpResponse:
    roles = assignable_roles(user=request.user, team=team)
    page = Paginator(members_of(user=request.user, team=team), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page_obj": page,
        "rows": member_rows(user=request.user, team=team, members=page),
        "columns": [
            {"label": _("Name")},
            {"label": _("E-mail address")},
            {"label": _("Role")},
            {"label": _("Member since")},
            {"label": _("Actions"), "hidden_label": True},
        ],
        "roles": roles,
        "may_manage": may(user=request.user, team=team, action="manage"),
        "form": form or MemberForm(roles=roles),
        **more,
    }
    return render(request, "accounts/members.html", context, status=422 if form is not None else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("view")
def members(request: HttpRequest, team: Team) -> HttpResponse:
    """Who is in the team; a POST adds somebody."""
    if request.method != "POST":
        return _page(request, team)
    form = MemberForm(request.POST, roles=assignable_roles(user=request.user, team=team))
    if not form.is_valid():
        return _page(request, team, form)
    try:
        added = people.member_add(actor=request.user, team=team, **form.cleaned_data)  # type: ignore[arg-type]
    except ApplicationError as error:
        refuse_in_form(form, error)
        return _page(request, team, form)
    if added.link_token:
        # Shown in this answer and nowhere else: only the hash is kept.
        link = request.build_absolute_uri(reverse("sign_in_link", args=[added.link_token]))
        return _page(request, team, new_member=added.membership, new_link=link)
    messages.success(request, _("%(name)s is now in the team.") % {"name": added.membership.user})
    return redirect("members", team=team.slug)


@require_POST
@team_page("view")
def member_role(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    membership = membership_for(user=request.user, team=team, uid=uid)
    try:
        people.member_role_change(actor=request.user, membership=membership, role=request.POST.get("role", ""))  # type: ignore[arg-type]
    except ApplicationError as error:
        refuse_on_page(request, error)
    else:
        messages.success(request, _("The role of %(name)s is changed.") % {"name": membership.user})
    return redirect("members", team=team.slug)


@require_POST
@team_page("belong")
def member_remove(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    membership = membership_for(user=request.user, team=team, uid=uid)
    try:
        people.member_remove(actor=request.user, membership=membership)  # type: ignore[arg-type]
    except ApplicationError as error:
        refuse_on_page(request, error)
        return redirect("members", team=team.slug)
    left = membership.user_id == request.user.pk
    messages.success(
        request,
        _("You have left the team.") if left else _("%(name)s is no longer in the team.") % {"name": membership.user},
    )
    return redirect("start") if left else redirect("members", team=team.slug)
