"""The shape of what people type about themselves and their teams."""

from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.core.scopes import SAYS

KEY_DAYS = 90


class SignInForm(forms.Form):
    email = forms.EmailField(label=_("E-mail address"), widget=forms.EmailInput(attrs={"autocomplete": "username"}))
    password = forms.CharField(
        label=_("Password"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class AccountForm(forms.Form):
    name = forms.CharField(
        label=_("Name"), max_length=120, required=False, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )


class PasswordForm(forms.Form):
    current = forms.CharField(
        label=_("Current password"),
        strip=False,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    new = forms.CharField(
        label=_("New password"),
        strip=False,
        help_text=_("At least 12 characters."),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, has_password: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not has_password:
            del self.fields["current"]


class MemberForm(forms.Form):
    email = forms.EmailField(label=_("E-mail address"), widget=forms.EmailInput(attrs={"autocomplete": "off"}))
    role = forms.ChoiceField(label=_("Role"), initial="editor")

    def __init__(self, *args: Any, roles: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = roles  # type: ignore[attr-defined]


class APIKeyChangeForm(forms.Form):
    """Name and end of a key. A key ends with a day, in the team's time zone."""

    name = forms.CharField(
        label=_("Name"), max_length=80, help_text=_("What uses the key, such as nightly report or web shop.")
    )
    ends_on = forms.DateField(
        label=_("Last day"),
        required=False,
        help_text=_("Without one the key is good until somebody revokes it."),
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def end(self) -> datetime | None:
        """When the chosen last day is over."""
        day: date | None = self.cleaned_data["ends_on"]
        if day is None:
            return None
        after = min(day, date.max - timedelta(days=2)) + timedelta(days=1)
        return timezone.make_aware(datetime.combine(after, time.min))


class APIKeyForm(APIKeyChangeForm):
    scopes = forms.MultipleChoiceField(
        label=_("The key may"),
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Never more than your role in the team does at that moment."),
    )

    def __init__(self, *args: Any, scopes: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {"scopes": ["read"], "ends_on": timezone.localdate() + timedelta(days=KEY_DAYS)}
        self.fields["scopes"].choices = [(scope, SAYS[scope]) for scope in scopes]  # type: ignore[attr-defined]


def last_day_of(expires_at: datetime | None) -> date | None:
    """The last day of a key that ends at this moment, as APIKeyChangeForm asks for it."""
    return timezone.localdate(expires_at - timedelta(microseconds=1)) if expires_at is not None else None
