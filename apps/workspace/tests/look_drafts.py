"""Experiments that are being put together, to look at."""

from django.urls import reverse

from apps.accounts.models import User
from apps.core.models import JobStatus
from apps.experiments.models import DatasetVersion, Experiment
from apps.experiments.services.candidates import experiment_reference_set
from apps.experiments.services.experiments import experiment_notes_set
from apps.experiments.services.versions import experiment_clone
from apps.providers.engine.baselines import baselines_for
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.plan import ORDER_SEED
from apps.workspace.services.drafts import candidates_add, draft_create, validation_start
from apps.workspace.tests.look_rows import evaluate


def look_drafts(version: DatasetVersion, owner: User, tested: Experiment, *, late: bool) -> list[Experiment]:
    """A draft whose candidates were tried on validation, and, with `late`, a clone with one that came after results."""
    draft = draft_create(
        actor=owner,
        team=version.dataset.team,
        dataset_version=version,
        name="Addresses without a model",
        question="Is a lookup good enough for the order form?",
        primary_metric="field_f1",
        margin=0.05,
        alpha=0.05,
    )
    methods = baselines_for(version.answer)
    made = candidates_add(
        actor=owner, experiment=draft, models=[], prompts=[], baselines=methods, max_tokens=80, temperature=0
    )
    experiment_reference_set(actor=owner, experiment=draft, reference=made[-1])
    validation_start(actor=owner, experiment=draft)
    for evaluation, skill in zip(draft.evaluations.order_by("id"), (0.02, 0.35, 0.6), strict=True):
        evaluate(evaluation, skill=skill, status=JobStatus.SUCCEEDED)
    experiment_notes_set(actor=owner, experiment=draft, notes="Bob asks whether unit numbers matter to the depot.")
    if not late:
        return [draft]
    clone = experiment_clone(actor=owner, experiment=tested)
    few = clone.candidates.exclude(kind="baseline").exclude(prompt_version=None).first()
    assert few is not None
    assert few.prompt_version is not None
    candidates_add(
        actor=owner,
        experiment=clone,
        models=[str(few.language_model.uid)],
        prompts=[few.prompt_version],
        baselines=[],
        max_tokens=120,
        temperature=0,
    )
    return [draft, clone]


def draft_pages(draft: Experiment) -> list[tuple[str, str]]:
    team, version = draft.team.slug, draft.dataset_version
    names = {
        "candidates": "experiment_candidates",
        "add": "candidates_new",
        "edit": "experiment_edit",
        "notes": "experiment_notes",
    }
    pages = [(f"draft-{name}", reverse(route, args=[team, draft.uid])) for name, route in names.items()]
    clone = Experiment.objects.filter(team=draft.team, previous__isnull=False).first()
    pages += [("draft-late", reverse("experiment_candidates", args=[team, clone.uid]))] if clone else []
    plan = reverse("plan", args=[team, version.dataset.uid, version.number])
    new = reverse("experiment_new", args=[team])
    waiting = started(draft)
    pages += [("plan", plan), ("experiment-new", new)]
    return [*pages, ("plan-started", reverse("plan_started", args=[team, waiting.uid]))]


def started(draft: Experiment) -> ExperimentRun:
    """A run that has not made its experiment yet."""
    definition = {"experiment": {"order_seed": ORDER_SEED}}
    run: ExperimentRun = ExperimentRun.objects.get_or_create(
        team=draft.team, definition_hash="0" * 64, defaults={"actor": draft.created_by, "definition": definition}
    )[0]
    return run
