"""What was decided before the first test score: candidates with their prompts, and what was chosen on validation."""

from dataclasses import dataclass

from apps.core.errors import translated
from apps.core.formats import setting_lines
from apps.core.models import JobStatus
from apps.evaluation.engine.measures import estimate_json
from apps.evaluation.figures import NOTHING, Shown, metric_text, shown
from apps.evaluation.models import Evaluation
from apps.evaluation.reading import tried_on_validation, validation_estimate
from apps.experiments import rows
from apps.experiments.engine.prompts import PromptError, render_messages
from apps.experiments.models import Candidate, Experiment
from apps.experiments.selectors import contenders, prompt_spec
from apps.experiments.services.experiments import registration_hash
from apps.providers.engine.messages import Message


@dataclass(frozen=True)
class CandidateDefinition:
    """One contender as registered; `messages` is its conversation for the first validation example."""

    candidate: Candidate
    messages: tuple[Message, ...]
    demonstrations: int

    @property
    def conversation(self) -> str:
        """The messages in order, each under its role."""
        return "\n\n".join(f"[{message.role}]\n{message.content}" for message in self.messages)

    @property
    def training_spec(self) -> list[tuple[str, str]]:
        """How the candidate's model was trained, one line per setting; empty for a model that was not."""
        return setting_lines(self.candidate.language_model.facts.get("spec", {}))


@dataclass(frozen=True)
class Trial:
    """One way of making a candidate, tried on validation. It has no figure until its evaluation has ended."""

    candidate: Candidate
    evaluation: Evaluation
    figure: Shown
    chosen: bool


def candidate_definitions(experiment: Experiment) -> list[CandidateDefinition]:
    """Every contender in the order of the page, with its prompt rendered."""
    sample = next(iter(rows.validation_rows(experiment.dataset_version)), None)
    found = []
    for candidate in contenders(experiment):
        version = candidate.prompt_version
        messages: tuple[Message, ...] = ()
        if version is not None:
            try:
                shown = (sample.input, sample.columns) if sample else ("", {})
                messages = render_messages(prompt_spec(version), *shown)
            except PromptError as error:
                messages = (Message(role="user", content=translated(error)),)
        count = len(version.demonstrations) if version is not None else 0
        found.append(CandidateDefinition(candidate, messages, count))
    return found


def definition_holds(experiment: Experiment) -> bool | None:
    """Whether the definition still has the hash that was registered; None before it was."""
    if experiment.reference is None or not experiment.registration_hash:
        return None
    now = registration_hash(experiment, contenders(experiment), experiment.reference, experiment.family)
    return now == experiment.registration_hash


def trials(experiment: Experiment) -> list[Trial]:
    """Trial candidates with their value on validation; the chosen one shares its prompt with a contender."""
    return [
        Trial(candidate=evaluation.candidate, evaluation=evaluation, figure=trial_figure(evaluation), chosen=chosen)
        for evaluation, chosen in tried_on_validation(experiment, contenders(experiment))
    ]


def trial_figure(evaluation: Evaluation | None) -> Shown:
    """The primary metric on validation with its interval; nothing before the evaluation has ended."""
    if evaluation is None or evaluation.status != JobStatus.SUCCEEDED:
        return NOTHING
    experiment = evaluation.experiment
    text = metric_text(experiment.primary_metric, experiment.answer)
    return shown(estimate_json(validation_estimate(evaluation)), text)
