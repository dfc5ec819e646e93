"""The shape of what people say about a model that they add, and about a key for a provider."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.providers.models import MOST_AT_ONCE, Provider


class _AddForm(forms.Form):
    name = forms.CharField(
        label=_("Name"), max_length=160, required=False, help_text=_("Empty: the name of the folder or file.")
    )
    base_model = forms.ChoiceField(
        label=_("Base model of an adapter"),
        required=False,
        help_text=_("Only for a PEFT adapter. Empty: the ready model that the adapter names itself."),
    )

    def __init__(self, *args: Any, bases: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["base_model"].choices = [("", _("As the adapter says")), *bases]  # type: ignore[attr-defined]


class FolderForm(_AddForm):
    folder = forms.CharField(label=_("Folder"), max_length=500, widget=forms.TextInput(attrs={"autocomplete": "off"}))

    field_order = ("folder", "name", "base_model")


class UploadForm(_AddForm):
    file = forms.FileField(label=_("Archive of the folder"))

    field_order = ("file", "name", "base_model")


def _secret_field(*, required: bool) -> forms.CharField:
    """Never filled in again: neither with what is stored, nor with what was refused."""
    return forms.CharField(
        label=_("Key"),
        max_length=1000,
        required=required,
        strip=True,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=_("Encrypted as soon as it arrives, and never shown again but for its last four characters."),
    )


class ProviderKeyForm(forms.Form):
    provider = forms.ChoiceField(label=_("Provider"), choices=Provider.choices)
    secret = _secret_field(required=False)
    base_url = forms.CharField(
        label=_("Base URL"),
        max_length=500,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "url"}),
        help_text=_(
            "Only for an OpenAI-compatible server, such as https://models.example.org/v1. It alone may need no key."
        ),
    )
    name = forms.CharField(
        label=_("Name"),
        max_length=80,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=_("Empty: the provider's."),
    )


class SecretForm(forms.Form):
    secret = _secret_field(required=True)


class LimitsForm(forms.Form):
    max_concurrency = forms.IntegerField(
        label=_("Calls at once"),
        min_value=1,
        max_value=MOST_AT_ONCE,
        help_text=_("How many calls with this key may be under way, in all processes together."),
    )
    requests_per_minute = forms.IntegerField(
        label=_("Calls in a minute"),
        min_value=1,
        max_value=1_000_000,
        required=False,
        help_text=_("Empty: as many as the provider takes."),
    )


class CommercialModelForm(forms.Form):
    """A model of a provider that the written list does not have, or of a compatible server."""

    key = forms.ChoiceField(label=_("Provider key"))
    provider_model = forms.CharField(
        label=_("Model"),
        max_length=140,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=_("The provider's own name of it, such as gpt-6-luna."),
    )
    context_length = forms.IntegerField(
        label=_("Context length in tokens"),
        min_value=1,
        required=False,
        help_text=_("Empty where it is known: for what the provider publishes."),
    )

    def __init__(self, *args: Any, keys: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["key"].choices = keys  # type: ignore[attr-defined]
