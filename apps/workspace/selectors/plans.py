"""What is proposed for a dataset version: candidates, instruction, limits, and how long it will take."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.billing.engine.published import published_price
from apps.billing.engine.token_estimate import cost_range
from apps.core.access import fetch_for_user
from apps.evaluation.call_sizes import call_size
from apps.evaluation.engine.metrics import scoring_for
from apps.experiments import rows
from apps.experiments.models import DatasetVersion
from apps.experiments.reports import few_test_text
from apps.providers.engine.commercial import CommercialModel
from apps.providers.models import LanguageModel
from apps.training.plan import PRESETS, plan_digest, preset_limits, spec_of
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.plan import DRAW_SEEDS, SAMPLE, prompt_spec_of, tuned_prompt
from apps.workspace.selectors.candidates import CHARACTERS_PER_TOKEN, baseline_choices, suggested_max_tokens
from apps.workspace.selectors.estimates import Estimate, answering_estimate, plan_training_estimate, time_of
from apps.workspace.selectors.model_choices import ModelChoice, choices_of, is_base

# With fewer rows a training learns the rows, not the task.
FEWEST_TRAIN_ROWS = 20
MOST_SHOWN = 8
# Of the model's context that demonstrations may fill: the rest is for the instruction, the input and the answer.
SHARE_FOR_SHOWN = 0.5
UNKNOWN_CONTEXT = 1024
# The column in which an import keeps the system message of a conversation.
SYSTEM = "system"


@dataclass(frozen=True)
class Proposal:
    """First values of the form, why parts of it are not possible here, by the name of the field, and what its test
    cannot show."""

    initial: dict[str, Any]
    unfit: dict[str, str]
    few_test: str
    # Names of the commercial models that the team has a key for.
    commercial: list[str]


def proposal_for(
    version: DatasetVersion, base: ModelChoice | None, within_reach: Sequence[CommercialModel] = ()
) -> Proposal:
    """What a person would begin with. Reads training rows for lengths, and no test row."""
    shown = _shown_that_fit(version, base)
    unfit = {}
    if base is None:
        reason = _(
            "No local model is ready, so free baselines alone can be compared now. Download or add a model for more."
        )
        unfit = dict.fromkeys(("plain", "few_shot", "tune"), reason)
    else:
        if not shown or version.validation_count < 1:
            unfit["few_shot"] = _("The rows are too long to show several of them in one prompt of this model.")
        if version.train_count < FEWEST_TRAIN_ROWS:
            unfit["tune"] = _("Fine-tuning needs at least %(n)d training rows.") % {"n": FEWEST_TRAIN_ROWS}
    return Proposal(
        initial={
            "name": version.dataset.name,
            "question": _("Which model should we ship for this task, by how much is it better, and is one needed?"),
            "primary_metric": scoring_for(version.answer).primary,
            "base_model": base.value if base else "",
            "baselines": [method for method, _label in baseline_choices(version.answer)],
            "instruction": instruction_of(version) or suggested_instruction(version.answer),
            "plain": "plain" not in unfit,
            "few_shot": "few_shot" not in unfit,
            "shown": max(1, shown),
            "tune": "tune" not in unfit,
            "commercial": bool(within_reach),
            "preset": "balanced" if "balanced" in PRESETS else next(iter(PRESETS)),
            "max_tokens": suggested_max_tokens(version),
        },
        unfit=unfit,
        few_test=few_test_text(version.test_count),
        commercial=[model.label for model in within_reach],
    )


def instruction_of(version: DatasetVersion) -> str:
    """What conversations say in their system message: the text itself where all say the same, else the variable.

    Empty for rows that have none.
    """
    if SYSTEM not in version.columns:
        return ""
    said = {row.columns.get(SYSTEM, "").strip() for row in rows.train_sample(version)}
    if said <= {""}:
        return ""
    alone = next(iter(said)) if len(said) == 1 else ""
    # A text that would be read as a template is named instead.
    plain = alone and not any(mark in alone for mark in ("{{", "{%", "{#"))
    return alone if plain else f"{{{{ {SYSTEM} }}}}"


def suggested_instruction(answer: Mapping[str, Any]) -> str:
    """What can be said of an answer without knowing the task; the rest is the person's to write."""
    match answer.get("format"):
        case "json":
            return _(
                "Answer with one compact JSON object and nothing else: no explanation, no code fence. Use only these"
                " keys, and leave out a key that has no value: %(keys)s. Every value is a string."
            ) % {"keys": ", ".join(answer.get("fields", []))}
        case "label":
            return _("Answer with exactly one of these labels and nothing else: %(labels)s.") % {
                "labels": ", ".join(answer.get("labels", []))
            }
        case "number":
            return _("Answer with one number and nothing else.")
        case _other:
            return _("Answer the input. Give the answer alone, without an explanation.")


def estimate_for(
    version: DatasetVersion,
    base: ModelChoice | None,
    values: Mapping[str, Any],
    within_reach: Sequence[CommercialModel] = (),
) -> Estimate:
    """As plan_estimate, and what the commercial models take; of a model that the team does not have yet, nothing was
    measured.
    """
    paid = commercial_estimate(version, values, within_reach) if values.get("commercial") else Estimate()
    if base is not None and base.model is None:
        return paid + Estimate(unknown=(base.entry.name,))
    return plan_estimate(version, base.model if base is not None else None, values) + paid


def commercial_estimate(
    version: DatasetVersion, values: Mapping[str, Any], models: Sequence[CommercialModel]
) -> Estimate:
    """Money by the published prices; how fast a provider answers is known from its first answers alone."""
    text = {"system": str(values.get("instruction", "")).strip(), "user": "{{ input }}"}
    max_tokens = int(values.get("max_tokens") or 0)
    size = call_size(version, prompt_spec_of(text), max_tokens=max_tokens)
    if size is None:
        return Estimate(unknown=tuple(model.label for model in models), complete=False)
    if values.get("few_shot"):
        # Each example that is shown is about as long as the question and its answer.
        shown = int(values.get("shown") or 0)
        size = replace(size, prompt_bytes=size.prompt_bytes * (1 + shown) + size.answer_bytes * shown)
    total = Estimate()
    for model in models:
        price = published_price(model.provider, model.name, timezone.now())
        low, high = cost_range(price.rates, size, calls=version.test_count) if price is not None else (0, 0)
        total += Estimate(nanousd_low=low, nanousd_high=high, unknown=(time_of(model.label),), complete=False)
    return total


def plan_estimate(version: DatasetVersion, base: LanguageModel | None, values: Mapping[str, Any]) -> Estimate:
    """Minutes and money of everything that the plan would run."""
    if base is None:
        return Estimate()
    answers = version.test_count * sum(bool(values.get(name)) for name in ("plain", "few_shot", "tune"))
    if values.get("few_shot"):
        answers += len(DRAW_SEEDS) * min(SAMPLE, version.validation_count)
    total = answering_estimate(base, answers=answers)
    if values.get("tune"):
        total += _training_estimate(version, base, values)
    return total


def _training_estimate(version: DatasetVersion, base: LanguageModel, values: Mapping[str, Any]) -> Estimate:
    """Of exactly the run that the plan would make, with its prompt, which may be no row yet."""
    preset = PRESETS.get(str(values.get("preset")), next(iter(PRESETS.values())))
    spec, limits = spec_of("lora", preset, base), preset_limits(preset, train_count=version.train_count)
    prompt = prompt_spec_of(tuned_prompt(str(values.get("name", ""))))
    digest = plan_digest(base, version, prompt.digest(), spec, limits)
    rows_trained = limits.get("max_examples", version.train_count)
    return plan_training_estimate(base, spec, rows=rows_trained, digest=digest)


def base_choices(*, user: Any, team: Team) -> list[ModelChoice]:
    """Base models: ready ones in the order of their making, then what can be brought in first, then the rest."""

    def place(choice: ModelChoice) -> tuple[bool, bool, int]:
        made = choice.model.pk if choice.model is not None else 0
        return not choice.possible, not choice.entry.ready, made if choice.entry.ready else 0

    return sorted(choices_of(user=user, team=team, wanted=is_base), key=place)


def _shown_that_fit(version: DatasetVersion, base: ModelChoice | None) -> int:
    """How many rows of the longest twentieth fit into the part of the context that is for them."""
    lengths = sorted(len(row.input) + len(row.expected) for row in rows.train_sample(version))
    if not lengths or base is None:
        return 0
    long = lengths[min(len(lengths) - 1, math.ceil(0.95 * len(lengths)))]
    room = SHARE_FOR_SHOWN * (base.entry.context_length or UNKNOWN_CONTEXT) * CHARACTERS_PER_TOKEN
    return min(MOST_SHOWN, len(lengths), int(room // max(1, long)))


def run_for(*, user: Any, team: Team, uid: Any) -> ExperimentRun:
    return fetch_for_user(ExperimentRun, user, team=team, uid=uid)
