"""People, teams and memberships. Changes go through the services, so that they leave an audit event."""

import copy
from contextlib import nullcontext
from functools import partial
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm

from apps.accounts.models import APIKey, APIKeyUse, Membership, SignInLink, Team, TokenFamily, User
from apps.accounts.services import keys, people
from apps.core.admin import ReadOnlyAdmin

# Rights come from a person's role in a team; an operator has them all in the admin.
admin.site.unregister(Group)


class PasswordSetForm(AdminPasswordChangeForm):
    """The admin's form for somebody else's password. Django's own saves past the services, and so without an event."""

    def __init__(self, user: User, *args: Any, actor: User, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.actor = actor

    def save(self, commit: bool = True) -> User:
        password = self.cleaned_data["password1"] if self.cleaned_data["set_usable_password"] else None
        return people.password_set(actor=self.actor, user=self.user, password=password)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    ordering = ("email",)
    list_display = ("email", "name", "is_active", "is_staff", "last_login", "created_at")
    list_filter = ("is_active", "is_staff")
    search_fields = ("email", "name")
    filter_horizontal = ()
    readonly_fields = ("uid", "last_login", "created_at")
    fieldsets = (
        (None, {"fields": ("email", "name", "password", "is_active", "is_staff", "is_superuser", *readonly_fields)}),
    )
    add_fieldsets = ((None, {"fields": ("email", "name")}),)
    add_form = ModelForm
    change_password_form = PasswordSetForm

    def get_form(self, request: HttpRequest, obj: User | None = None, *args: Any, **kwargs: Any) -> Any:
        if obj is None:
            # Django's own form for a new person asks for a password; here they get a one-time link instead.
            return ModelAdmin.get_form(self, request, obj, *args, **kwargs)
        return super().get_form(request, obj, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if change:
            people.user_change(actor=request.user, user=obj, fields=list(form.changed_data))  # type: ignore[arg-type]
        else:
            created = people.user_create(actor=request.user, email=obj.email, name=obj.name)  # type: ignore[arg-type]
            obj.pk, obj.uid = created.pk, created.uid

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        # Django gives the form nothing but the person, and this object is shared by all requests.
        for_this_request = copy.copy(self)
        form = partial(PasswordSetForm, actor=cast(User, request.user))
        for_this_request.change_password_form = form  # type: ignore[assignment]  # Django only calls it
        return DjangoUserAdmin.user_change_password(for_this_request, request, id, form_url)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        # What a person did stays theirs; an account is switched off instead.
        return False


@admin.register(Team)
class TeamAdmin(ReadOnlyAdmin):
    list_display = ("name", "slug", "time_zone", "text_may_leave", "created_at")
    search_fields = ("name", "slug")


@admin.register(Membership)
class MembershipAdmin(ModelAdmin):
    """A refusal of the services is a page that says why: the admin undoes what it had begun, its own log included."""

    list_display = ("user", "team", "role", "created_at")
    list_filter = ("role", "team")
    search_fields = ("user__email", "user__name", "team__name")
    list_select_related = ("user", "team")
    autocomplete_fields = ("user", "team")
    fields = ("team", "user", "role")

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> tuple[str, ...]:
        return () if obj is None else ("team", "user")

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        if change:
            people.member_role_change(actor=request.user, membership=obj, role=obj.role)  # type: ignore[arg-type]
        else:
            added = people.member_add(actor=request.user, team=obj.team, email=obj.user.email, role=obj.role)  # type: ignore[arg-type]
            obj.pk, obj.uid = added.membership.pk, added.membership.uid

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        people.member_remove(actor=request.user, membership=obj)  # type: ignore[arg-type]

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for membership in queryset:
            self.delete_model(request, membership)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # The action that deletes several writes its log first, and is in no transaction of its own.
        with transaction.atomic() if request.method == "POST" else nullcontext():
            return super().changelist_view(request, extra_context)


@admin.register(SignInLink)
class SignInLinkAdmin(ReadOnlyAdmin):
    list_display = ("user", "created_at", "expires_at", "used_at")
    list_filter = ("created_at",)
    search_fields = ("user__email",)
    list_select_related = ("user",)
    # The hash signs nobody in, and still nobody needs to see it.
    exclude = ("token_hash",)
    verbose_name = _("sign-in link")


@admin.register(APIKey)
class APIKeyAdmin(ReadOnlyAdmin):
    list_display = ("prefix", "name", "team", "person", "created_at", "last_used_at", "expires_at", "revoked_at")
    list_filter = ("team", "created_at")
    search_fields = ("prefix", "name", "person__email")
    list_select_related = ("team", "person")
    # The hash opens nothing, and still nobody needs to see it.
    exclude = ("key_hash",)
    actions = ("revoke",)

    @admin.action(description=_("Revoke the selected keys"))
    def revoke(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> None:
        for key in queryset:
            keys.api_key_revoke(actor=cast(User, request.user), key=key)
        said = ngettext("%(n)d key is revoked.", "%(n)d keys are revoked.", len(queryset)) % {"n": len(queryset)}
        self.message_user(request, said, messages.SUCCESS)


@admin.register(APIKeyUse)
class APIKeyUseAdmin(ReadOnlyAdmin):
    list_display = ("hour", "key", "address")
    list_filter = ("hour",)
    search_fields = ("key__prefix", "address")
    list_select_related = ("key",)


@admin.register(TokenFamily)
class TokenFamilyAdmin(ReadOnlyAdmin):
    list_display = ("user", "created_at", "expires_at", "revoked_at")
    search_fields = ("user__email",)
    list_select_related = ("user",)
    exclude = ("current",)
