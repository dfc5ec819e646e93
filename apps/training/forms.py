"""The shape of a new training run."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

MOST_MINUTES = 7 * 24 * 60


class RunForm(forms.Form):
    """What to train on what, how long. Choices come from the view, which has looked every id up."""

    name = forms.CharField(
        label=_("Name"), max_length=160, required=False, help_text=_("Empty: the model on the data.")
    )
    dataset_version = forms.ChoiceField(label=_("Dataset version"))
    base_model = forms.ChoiceField(label=_("Base model"))
    prompt_version = forms.ChoiceField(
        label=_("Prompt"), help_text=_("The model is served with the prompt that it was trained with.")
    )
    method = forms.ChoiceField(
        label=_("Method"),
        help_text=_("LoRA trains a small adapter and needs less memory; full fine-tuning changes every weight."),
    )
    preset = forms.ChoiceField(label=_("Preset"), widget=forms.RadioSelect)
    max_examples = forms.IntegerField(
        label=_("At most this many examples"), min_value=1, required=False, help_text=_("Empty: as the preset says.")
    )
    max_minutes = forms.FloatField(
        label=_("Time limit in minutes"), min_value=0.5, max_value=MOST_MINUTES, required=False,
        help_text=_("The check finds out how many examples fit into it."),
    )  # fmt: skip
    rows_a_pass = forms.ChoiceField(
        label=_("Rows computed at once"), required=False,
        choices=[("", _("As the preset says")), ("2", "2"), ("1", "1")],
        help_text=_("Fewer need less memory and learn the same, more slowly."),
    )  # fmt: skip
    leave_out_long = forms.BooleanField(
        label=_("Leave out rows that are too long for the model, instead of refusing"), required=False
    )

    def __init__(self, *args: Any, choices: dict[str, list[tuple[str, str]]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, options in choices.items():
            self.fields[name].choices = options  # type: ignore[attr-defined]
