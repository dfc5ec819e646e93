"""What was decided before the first test score: candidates with their prompts, and what was chosen on validation."""

from dataclasses import dataclass

from apps.core.errors import translated
from apps.core.models import JobStatus
from apps.evaluation.engine.measures import estimate_json
from apps.evaluation.figures import NOTHING, Shown, metric_text, shown
from apps.evaluation.models import Evaluation
from apps.evaluation.reading import validation_estimate
from apps.experiments import rows
from apps.experiments.engine.prompts import PromptError, render_messages
from apps.experiments.models import Candidate, Experiment
from apps.experiments.selectors import contenders, prompt_spec
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
        lines: list[tuple[str, str]] = []
        for key, value in self.candidate.language_model.facts.get("spec", {}).items():
            nested = value.items() if isinstance(value, dict) else [("", value)]
            lines += [(f"{key}.{inner}" if inner else key, str(each)) for inner, each in nested]
        return lines


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
                messages = render_messages(prompt_spec(version), sample.input if sample else "")
            except PromptError as error:
                messages = (Message(role="user", content=translated(error)),)
        count = len(version.demonstrations) if version is not None else 0
        found.append(CandidateDefinition(candidate, messages, count))
    return found


def trials(experiment: Experiment) -> list[Trial]:
    """Trial candidates with their value on validation; the chosen one shares its prompt with a contender."""
    used = {candidate.prompt_version_id for candidate in contenders(experiment)}
    found = experiment.evaluations.filter(purpose=Evaluation.Purpose.CHOICE)
    related = found.select_related(
        "candidate__language_model", "candidate__prompt_version__prompt", "experiment__dataset_version__dataset"
    )
    return [
        Trial(
            candidate=evaluation.candidate,
            evaluation=evaluation,
            figure=_figure(evaluation),
            chosen=evaluation.candidate.prompt_version_id in used,
        )
        for evaluation in related.order_by("candidate__position", "id")
    ]


def _figure(evaluation: Evaluation) -> Shown:
    if evaluation.status != JobStatus.SUCCEEDED:
        return NOTHING
    return shown(estimate_json(validation_estimate(evaluation)), metric_text(evaluation.experiment.primary_metric))
