"""The shape of a new experiment, of candidates, and of notes."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.core.formats import NANO

Choices = Sequence[tuple[str, str]]


class DefinitionForm(forms.Form):
    """A question and what decides it. Every field has a default; its help says what it means in one sentence."""

    name = forms.CharField(label=_("Name"), max_length=160)
    question = forms.CharField(
        label=_("Question"),
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("What somebody will decide by the answer."),
    )
    primary_metric = forms.ChoiceField(
        label=_("Primary metric"), help_text=_("The one figure that decides. All others are shown beside it.")
    )
    metrics = forms.MultipleChoiceField(
        label=_("Metrics"),
        widget=forms.CheckboxSelectMultiple,
        help_text=_(
            "The more there are beside the primary one, the larger a difference must be to be claimed in them."
        ),
    )
    margin = forms.FloatField(
        label=_("Smallest difference that matters"),
        initial=0.05,
        help_text=_("In units of the primary metric: a smaller difference would not change what you ship."),
    )
    alpha = forms.FloatField(
        label=_("Significance level"),
        initial=0.05,
        help_text=_("How often a difference may be claimed where there is none: 0.05 is once in twenty."),
    )
    budget = forms.DecimalField(
        label=_("Budget in US dollars"),
        required=False,
        min_value=Decimal("0.000001"),
        max_value=Decimal(1_000_000),
        max_digits=16,
        decimal_places=9,
        help_text=_("No call is made that could go past it. Empty: the team's budget alone holds."),
    )

    def __init__(self, *args: Any, metrics: Choices, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        set_choices(self, "primary_metric", metrics)
        set_choices(self, "metrics", metrics)
        self.fields["metrics"].initial = [name for name, _label in metrics]

    @property
    def definition(self) -> dict[str, Any]:
        """What a service takes: the budget in whole nano-dollars."""
        values = dict(self.cleaned_data)
        budget = values.pop("budget")
        return {**values, "budget_nanousd": int(budget * NANO) if budget is not None else None}


class CandidatesForm(forms.Form):
    """Models × prompts as checkboxes, and the free baselines."""

    models = forms.MultipleChoiceField(
        label=_("Models"), required=False, widget=forms.CheckboxSelectMultiple, help_text=_("Each with each prompt.")
    )
    prompts = forms.MultipleChoiceField(label=_("Prompts"), required=False, widget=forms.CheckboxSelectMultiple)
    baselines = forms.MultipleChoiceField(
        label=_("Free baselines"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("They cost nothing. A model that does not beat them is not needed."),
    )
    max_tokens = forms.IntegerField(
        label=_("Token limit of an answer"), min_value=1, max_value=4096, help_text=_("A longer answer is cut off.")
    )
    temperature = forms.FloatField(
        label=_("Temperature"),
        min_value=0,
        max_value=2,
        initial=0,
        help_text=_("0 always takes the likeliest token, so that a run can be repeated."),
    )

    def __init__(self, *args: Any, models: Choices, prompts: Choices, baselines: Choices, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, choices in (("models", models), ("prompts", prompts), ("baselines", baselines)):
            if choices:
                set_choices(self, name, choices)
            else:
                del self.fields[name]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if not any(values.get(name) for name in ("models", "prompts", "baselines")):
            raise forms.ValidationError(_("Choose a model with a prompt, or a free baseline."))
        return values


class NotesForm(forms.Form):
    notes = forms.CharField(
        label=_("Notes"), required=False, max_length=20_000, widget=forms.Textarea(attrs={"rows": 6})
    )


def set_choices(form: forms.Form, name: str, choices: Choices) -> None:
    field = form.fields[name]
    assert isinstance(field, forms.ChoiceField)
    field.choices = list(choices)
