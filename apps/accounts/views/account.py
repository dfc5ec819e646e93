"""A person's own account."""

from typing import cast

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.forms import AccountForm, PasswordForm
from apps.accounts.models import User
from apps.accounts.pages import signed_in
from apps.accounts.selectors import program_count
from apps.accounts.services import people, tokens
from apps.core.errors import ApplicationError


def _person(request: HttpRequest) -> User:
    """Who is signed in; `signed_in` has seen to it that somebody is."""
    return cast(User, request.user)


def _page(
    request: HttpRequest, name_form: AccountForm | None = None, password_form: PasswordForm | None = None
) -> HttpResponse:
    user = _person(request)
    context = {
        "name_form": name_form or AccountForm(initial={"name": user.name}),
        "password_form": password_form or PasswordForm(has_password=user.has_usable_password()),
        "has_password": user.has_usable_password(),
        "programs": program_count(user=user),
    }
    refused = name_form is not None or password_form is not None
    return render(request, "accounts/account.html", context, status=422 if refused else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def account(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request)
    form = AccountForm(request.POST)
    if not form.is_valid():
        return _page(request, name_form=form)
    people.account_update(actor=_person(request), name=form.cleaned_data["name"])
    messages.success(request, _("Your name is saved."))
    return redirect("account")


@sensitive_post_parameters("current", "new")
@require_POST
@signed_in
def password(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    form = PasswordForm(request.POST, has_password=person.has_usable_password())
    if not form.is_valid():
        return _page(request, password_form=form)
    try:
        user = people.password_change(
            actor=person,
            current=form.cleaned_data.get("current", ""),
            new=form.cleaned_data["new"],
        )
    except ApplicationError as error:
        form.add_error(error.field, error.message)
        return _page(request, password_form=form)
    update_session_auth_hash(request, user)
    messages.success(request, _("Your password is changed. Other browsers and programs have been signed out."))
    return redirect("account")


@require_POST
@signed_in
def programs(request: HttpRequest) -> HttpResponse:
    """Sign out every program that holds tokens of this person."""
    person = _person(request)
    count = tokens.token_families_revoke(actor=person, user=person)
    said = ngettext("%(n)d program is signed out.", "%(n)d programs are signed out.", count) % {"n": count}
    messages.success(request, said)
    return redirect("account")
