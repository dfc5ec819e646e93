"""Looking up what a draft of the playground names, and filling in what its buttons choose."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _

from apps.core.errors import ApplicationError
from apps.experiments import prompt_reading, rows
from apps.experiments.engine.rows import Example
from apps.experiments.engine.templates import variables_for
from apps.experiments.models import DatasetVersion, Experiment, PromptVersion
from apps.providers.models import LanguageModel
from apps.workspace.models import PlaygroundAnswer
from apps.workspace.playground.checks import check
from apps.workspace.playground.desk import CandidateDesk, Desk, OpenExperiment, Way, can_be_asked
from apps.workspace.playground.draft import PLAIN, CandidateDraft, Draft, with_system
from apps.workspace.selectors.model_choices import ModelChoice, choices_of

DATASETS_OFFERED = 200


def desk(*, user: Any, team: Any, draft: Draft) -> Desk:
    """What an id names is looked up among what this person may see; anything else is as unknown as what never was."""
    choices = choices_of(user=user, team=team)
    prompts = list(_prompts(user, team))
    datasets = list(prompt_reading.dataset_versions(user=user, team=team)[:DATASETS_OFFERED])
    version = next((each for each in datasets if str(each.uid) == draft.dataset), None)
    askable = [choice for choice in choices if can_be_asked(choice)]
    draft = replace(
        draft, candidates=tuple(_with_model(each, askable, place) for place, each in enumerate(draft.candidates))
    )
    wanted = [answer for each in draft.candidates if (answer := _uid(each.answer)) is not None]
    answers = {
        str(answer.uid): answer
        for answer in PlaygroundAnswer.objects.for_user(user)
        .filter(run__team=team, uid__in=wanted)
        .select_related("run")
    }
    made = Desk(
        draft=draft,
        candidates=[
            _candidate(user, team, number, each, choices, prompts, answers)
            for number, each in enumerate(draft.candidates)
        ],
        choices=choices,
        prompts=prompts,
        datasets=datasets,
        experiments=_experiments(user, team),
        version=version,
        example=_example(draft, version),
    )
    for candidate in made.candidates:
        check(candidate, made)
    return made


def _prompts(user: Any, team: Any) -> Any:
    found = PromptVersion.objects.for_user(user).filter(prompt__team=team).select_related("prompt")
    return found.order_by("prompt__name", "-number")


def _experiments(user: Any, team: Any) -> list[OpenExperiment]:
    found = Experiment.objects.for_user(user).filter(team=team, state=Experiment.State.DRAFT).order_by("-id")
    return [OpenExperiment(str(uid), name) for uid, name in found.values_list("uid", "name")]


def _with_model(candidate: CandidateDraft, askable: Sequence[ModelChoice], place: int) -> CandidateDraft:
    """A candidate that has no model yet begins with one that can be asked, each with another."""
    if candidate.model or not askable:
        return candidate
    return replace(candidate, model=askable[place % len(askable)].value)


def _uid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _example(draft: Draft, version: DatasetVersion | None) -> Example | None:
    """The row that the text was taken from, while it still says what that row says. Never a test row."""
    if version is None or not draft.example:
        return None
    found = rows.row_by_id(version, draft.example)
    return found if found is not None and found.input.replace("\r\n", "\n") == draft.text else None


def _candidate(
    user: Any,
    team: Any,
    number: int,
    draft: CandidateDraft,
    choices: Sequence[ModelChoice],
    prompts: Sequence[PromptVersion],
    answers: dict[str, PlaygroundAnswer],
) -> CandidateDesk:
    choice = next((each for each in choices if each.value == draft.model), None)
    model = choice.model if choice is not None else _other_model(user, team, draft.model)
    made = CandidateDesk(
        number=number,
        draft=draft,
        choice=choice,
        model=model,
        version=next((each for each in prompts if str(each.uid) == draft.prompt), None),
        way=_way(team, choice, model),
        answer=answers.get(draft.answer),
    )
    if choice is None and model is None:
        made.problems["model"] = _("Choose a model.") if not draft.model else _("There is no such model here.")
    if draft.prompt and made.version is None:
        made.problems["prompt"] = _("There is no such prompt version here. What it said is kept below.")
    return made


def _other_model(user: Any, team: Any, value: str) -> LanguageModel | None:
    """A model that is offered to nobody any more: a retired one, or a baseline."""
    uid = _uid(value)
    if uid is None:
        return None
    found: LanguageModel | None = LanguageModel.objects.for_user(user).filter(team=team, uid=uid).first()
    return found


def _way(team: Any, choice: ModelChoice | None, model: LanguageModel | None) -> Way | None:
    if choice is not None and can_be_asked(choice):
        return None
    models = reverse("models", args=[team.slug])
    if choice is None:
        if model is None:
            return None
        says = _("%(model)s cannot be asked any more: %(state)s.")
        return Way(says % {"model": model.name, "state": model.get_state_display().lower()}, _("See models"), models)
    entry, fix = choice.entry, choice.fix or choice.entry.fix
    says = entry.detail or _("%(model)s cannot be asked yet: it is not ready.") % {"model": entry.name}
    # What a press would begin stands on the page of models.
    url = fix.url if fix is not None and not fix.key else models
    return Way(says, fix.label if fix is not None and not fix.key else _("See models"), url)


# --- what a button fills in


def with_example(draft: Draft, version: DatasetVersion | None) -> Draft:
    """The form on the row that it names, its kept columns included."""
    if version is None:
        raise ApplicationError(_("Choose a dataset version to take an example from."), field="dataset")
    row, count = prompt_reading.row_at(version, split=draft.split, number=draft.row)
    if row is None:
        raise ApplicationError(_("This split has no rows. Choose the other one."), field="split")
    return replace(
        draft,
        row=min(draft.row, count),
        text=row.input.replace("\r\n", "\n"),
        example=row.id,
        columns={name: value for name, value in variables_for("", row.columns).items() if name != "input"},
    )


def with_prompt(draft: Draft, number: int, prompts: Sequence[PromptVersion]) -> Draft:
    """The form with the messages of the version that a candidate has chosen; of none, the input alone."""
    if number >= len(draft.candidates):
        return draft
    candidates = list(draft.candidates)
    chosen = candidates[number]
    version = next((each for each in prompts if str(each.uid) == chosen.prompt), None)
    said = [(item["role"], item["content"]) for item in version.messages] if version is not None else PLAIN
    candidates[number] = replace(chosen, messages=with_system(said))
    return replace(draft, candidates=tuple(candidates))
