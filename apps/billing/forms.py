"""The shape of what a person sends to a model."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _


class TryForm(forms.Form):
    text = forms.CharField(label=_("Text"), widget=forms.Textarea(attrs={"rows": 4}), strip=False)
    max_tokens = forms.IntegerField(
        label=_("Longest answer, in tokens"), min_value=1, max_value=1024, initial=96, required=False
    )
    with_prompt = forms.BooleanField(label=_("In the prompt that it was trained with"), required=False, initial=True)

    def __init__(self, *args: Any, columns: list[str], has_prompt: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not has_prompt:
            del self.fields["with_prompt"]
        for name in columns:
            self.fields[f"column_{name}"] = forms.CharField(label=name, required=False, max_length=20_000)

    def columns(self) -> dict[str, str]:
        """What the prompt's other variables stand for."""
        given = self.cleaned_data.items()
        return {key.removeprefix("column_"): value for key, value in given if key.startswith("column_")}
