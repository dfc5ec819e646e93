"""The candidates of an experiment while it is put together: how each does on validation, and what is left to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from apps.accounts.models import Team
from apps.core.access import fetch_for_user
from apps.core.jobs import AT_WORK
from apps.evaluation.figures import Shown
from apps.evaluation.models import Evaluation
from apps.evaluation.selectors.definition import trial_figure
from apps.experiments import rows
from apps.experiments.models import Candidate, DatasetVersion, Experiment, PromptVersion
from apps.experiments.selectors import contenders, dataset_versions
from apps.experiments.services.baselines import NAMES
from apps.providers.engine.baselines import baselines_for
from apps.providers.models import LanguageModel
from apps.workspace.models import ExperimentRun
from apps.workspace.selectors.estimates import Estimate, Rates, candidate_estimate, trainings_estimate

# Characters of an answer per token, at the least, for text that a model's own tokenizer was not asked about.
CHARACTERS_PER_TOKEN = 2.0
SPARE_TOKENS = 8
LONGEST_LIMIT = 1024


@dataclass(frozen=True)
class CandidateRow:
    candidate: Candidate
    evaluation: Evaluation | None
    figure: Shown
    estimate: Estimate
    reference: bool

    @property
    def waits(self) -> bool:
        """For its model, which is still made or brought in."""
        return bool(self.candidate.language_model.state != LanguageModel.State.READY)

    @property
    def waits_for(self) -> str:
        if not self.waits:
            return ""
        brought_in = getattr(self.candidate.language_model, "fetch", None) is not None
        return _("its model is brought in first") if brought_in else _("its model is trained first")


@dataclass(frozen=True)
class DraftFacts:
    experiment: Experiment
    rows: list[CandidateRow]
    estimate: Estimate
    run: ExperimentRun | None
    draft: bool
    late: list[Candidate]

    @property
    def trying(self) -> bool:
        """Whether a candidate is answering validation rows now, or waits to."""
        return any(row.evaluation is not None and row.evaluation.status in AT_WORK for row in self.rows)

    @property
    def untried(self) -> int:
        """Candidates that could be tried on validation and were not yet."""
        return sum(row.evaluation is None and not row.waits for row in self.rows)


def draft_facts(experiment: Experiment) -> DraftFacts:
    """What the candidates' page shows. Nothing of it reads a test row."""
    candidates = contenders(experiment)
    tried = {
        evaluation.candidate_id: evaluation
        for evaluation in experiment.evaluations.filter(purpose=Evaluation.Purpose.CHOICE).select_related(
            "candidate__language_model",
            "candidate__prompt_version__prompt",
            "experiment__dataset_version__dataset",
        )
    }
    answers, rates = experiment.dataset_version.test_count, Rates()
    rows = [
        CandidateRow(
            candidate=candidate,
            evaluation=tried.get(candidate.pk),
            figure=trial_figure(tried.get(candidate.pk)),
            estimate=candidate_estimate(candidate, answers=answers, rates=rates),
            reference=candidate.pk == experiment.reference_id,
        )
        for candidate in candidates
    ]
    return DraftFacts(
        experiment=experiment,
        rows=rows,
        estimate=sum((row.estimate for row in rows), trainings_estimate(candidates)),
        run=ExperimentRun.objects.filter(experiment=experiment).first(),
        draft=experiment.state == Experiment.State.DRAFT,
        late=[candidate for candidate in candidates if candidate.late],
    )


def prompt_choices(*, user: Any, team: Team) -> list[tuple[str, str]]:
    """Every version of every prompt, the newest of each first."""
    versions = PromptVersion.objects.for_user(user).filter(prompt__team=team).select_related("prompt")
    return [(str(version.uid), str(version)) for version in versions.order_by("prompt__name", "-number")]


def baseline_choices(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(method, _(NAMES[method])) for method in baselines_for(answer)]


def prompts_named(*, user: Any, team: Team, uids: Sequence[str]) -> list[PromptVersion]:
    return [fetch_for_user(PromptVersion, user, prompt__team=team, uid=uid) for uid in uids]


def candidate_for(*, user: Any, experiment: Experiment, uid: Any) -> Candidate:
    return fetch_for_user(Candidate, user, experiment=experiment, uid=uid)


def version_choices(*, user: Any, team: Team) -> list[tuple[str, str]]:
    """Dataset versions, newest first."""
    return [(str(version.uid), str(version)) for version in dataset_versions(user=user, team=team)]


def suggested_max_tokens(version: DatasetVersion) -> int:
    """Room for the longest training answer, whatever the tokenizer: half as many tokens as characters, and a few."""
    longest = max((len(row.expected) for row in rows.train_sample(version)), default=64)
    return min(LONGEST_LIMIT, max(16, round(longest / CHARACTERS_PER_TOKEN) + SPARE_TOKENS))
