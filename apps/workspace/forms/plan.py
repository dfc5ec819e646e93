"""The shape of a plan: a whole experiment on a team's own data, proposed and changeable."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.evaluation.engine.metrics import scoring_for
from apps.evaluation.figures import metric_label
from apps.experiments.models import DatasetVersion
from apps.training.plan import PRESETS, preset_numbers
from apps.workspace.forms.experiments import Choices, DefinitionForm, set_choices
from apps.workspace.selectors.candidates import baseline_choices
from apps.workspace.selectors.model_choices import ModelChoice, possible_values
from apps.workspace.selectors.plans import Proposal


class PlanForm(DefinitionForm):
    """What is compared on the data: free baselines, a base model with two prompts, and a model trained on it."""

    base_model = forms.ChoiceField(label=_("Base model"), required=False, help_text=_("It runs on this machine."))
    baselines = forms.MultipleChoiceField(
        label=_("Free baselines"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("They cost nothing. A model that does not beat them is not needed."),
    )
    plain = forms.BooleanField(label=_("Base model with this instruction"), required=False)
    instruction = forms.CharField(
        label=_("Instruction"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_("Tell the model the task in full: what comes in, what the answer is, what must not be in it."),
    )
    few_shot = forms.BooleanField(label=_("Base model with solved examples in its prompt"), required=False)
    shown = forms.IntegerField(
        label=_("Examples shown"),
        min_value=1,
        max_value=32,
        help_text=_("Drawn from the training rows three times; the draw that does best on validation is used."),
    )
    tune = forms.BooleanField(label=_("Model fine-tuned on the training rows"), required=False)
    preset = forms.ChoiceField(label=_("Training"), widget=forms.RadioSelect)
    commercial = forms.BooleanField(label=_("Commercial models"), required=False)
    max_tokens = forms.IntegerField(
        label=_("Token limit of an answer"), min_value=1, max_value=4096, help_text=_("A longer answer is cut off.")
    )

    def __init__(
        self,
        *args: Any,
        base_models: Choices,
        baselines: Choices,
        unfit: Sequence[str],
        commercial: Sequence[str],
        **kwargs: Any,
    ) -> None:
        """`unfit`: names of parts that this data or this machine does not allow. `commercial`: names of the models that
        the team has a key for.
        """
        super().__init__(*args, **kwargs)
        set_choices(self, "base_model", base_models)
        set_choices(self, "baselines", baselines)
        set_choices(
            self,
            "preset",
            [(name, f"{preset.label}: {preset_numbers(preset, 'lora')}") for name, preset in PRESETS.items()],
        )
        for name in unfit:
            self.fields[name].disabled = True
        if commercial:
            self.fields["commercial"].help_text = _(
                "%(names)s, with the solved examples where they are chosen, else with the instruction."
            ) % {"names": ", ".join(commercial)}
        else:
            del self.fields["commercial"]

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if values.get("plain") and not str(values.get("instruction", "")).strip():
            self.add_error("instruction", _("Write the instruction, or leave this candidate out."))
        models = [name for name in ("plain", "few_shot", "tune") if values.get(name)]
        if models and not values.get("base_model"):
            self.add_error("base_model", _("Choose the model, or leave out what needs one."))
        paid = [name for name in ("commercial",) if values.get(name)]
        if len(models) + len(paid) + len(values.get("baselines", [])) < 2:
            raise forms.ValidationError(_("Choose at least two candidates: one alone cannot be compared."))
        return values

    @property
    def plan(self) -> dict[str, Any]:
        """What a service takes."""
        return {**self.cleaned_data, **self.definition}


def plan_form(
    version: DatasetVersion,
    models: Sequence[ModelChoice],
    proposal: Proposal,
    *,
    data: Any = None,
    kept: Mapping[str, Any] | None = None,
) -> PlanForm:
    """The form of a plan for `version`, filled with the proposal and what is `kept` over it, or bound to `data`."""
    possible = possible_values(models)
    chosen = bool(proposal.initial["base_model"])
    return PlanForm(
        data,
        initial={**proposal.initial, **(kept or {})},
        metrics=[(name, metric_label(name, version.answer)) for name in scoring_for(version.answer).metrics],
        base_models=possible if chosen or not possible else [("", str(_("None"))), *possible],
        baselines=baseline_choices(version.answer),
        # Without a base model they are left out, and may be chosen together with one that is brought in.
        unfit=tuple(proposal.unfit) if chosen or not possible else (),
        commercial=proposal.commercial,
    )
