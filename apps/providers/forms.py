"""The shape of what people say about a model that they add."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _


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
