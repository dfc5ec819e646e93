"""What the page of a model shows besides the model itself."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from apps.core.models import AuditEvent
from apps.experiments import rows
from apps.experiments.models import Candidate, DatasetVersion
from apps.providers.models import LanguageModel
from apps.training.alias_history import SET, version_before
from apps.training.models import ModelVersion, TrainingRun
from apps.training.workdir import run_dir

MOST_USES = 20
MOST_TEST_SETS = 12
MOST_EVENTS = 10


def version_of(model: LanguageModel) -> ModelVersion | None:
    """The registered version that a model is, with what made it; None for one that was not trained here."""
    related = ("run__dataset_version__dataset", "run__prompt_version__prompt", "run__base_model")
    found: ModelVersion | None = ModelVersion.objects.filter(language_model=model).select_related(*related).first()
    return found


def library_versions(run: TrainingRun) -> list[tuple[str, str]]:
    """The libraries that a training ran with, as its engine noted them; empty where its folder is gone."""
    path = run_dir(run) / "chosen.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return sorted((str(name), str(number)) for name, number in content.get("versions", {}).items())


@dataclass(frozen=True)
class Use:
    """One thing that depends on the model, and its page."""

    label: str
    url: str
    kind: str


def uses(model: LanguageModel) -> list[Use]:
    """Experiments and trainings that use the model, newest first, MOST_USES of each."""
    slug = model.team.slug
    found = []
    candidates = Candidate.objects.filter(language_model=model).select_related("experiment").order_by("-pk")
    for candidate in candidates[:MOST_USES]:
        url = reverse("experiment", args=[slug, candidate.experiment.uid])
        found.append(Use(f"{candidate.experiment.name}: {candidate.name}", url, _("Candidate")))
    for run in TrainingRun.objects.filter(base_model=model).order_by("-pk")[:MOST_USES]:
        found.append(Use(run.name, reverse("training_run", args=[slug, run.uid]), _("Training from it")))
    return found


@dataclass(frozen=True)
class AliasLine:
    """An alias of the version; `before` is the number of the version to which a rollback would give it."""

    name: str
    before: int | None


def alias_lines(version: ModelVersion) -> list[AliasLine]:
    lines = []
    for name in version.aliases:
        before = version_before(version, name)
        lines.append(AliasLine(name, before.number if before else None))
    return lines


def alias_events(version: ModelVersion) -> list[AuditEvent]:
    """Every move of an alias to or from this version, newest first."""
    verbs = (SET, "model_version.alias_removed")
    events = AuditEvent.objects.filter(team=version.team, verb__in=verbs, object_uid=version.uid).order_by("-id")
    return list(events[:MOST_EVENTS])


@dataclass(frozen=True)
class CertifiedRow:
    """Log-probabilities of one answer in every form, in the order of the certificate's forms."""

    example_id: str
    trained_tokens: int | None
    values: list[float | None]
    largest: float | None


@dataclass(frozen=True)
class Certificate:
    passed: bool
    forms: list[str]
    rows: list[CertifiedRow]
    tolerance: float | None
    largest: float | None
    stop_token: str
    stop_id: int | None
    problems: list[str]


FORMS = {
    "trained": gettext_lazy("Trained"),
    "reloaded": gettext_lazy("Adapter"),
    "merged": gettext_lazy("Merged"),
    "converted": gettext_lazy("Served (CTranslate2)"),
}


def certificate_of(version: ModelVersion) -> Certificate | None:
    """The certificate as the page shows it; None where none of the rows was kept."""
    kept = version.certificate
    forms = list(kept.get("forms", []))
    if not forms:
        return None
    lines = [
        CertifiedRow(
            example_id=str(example["id"]),
            trained_tokens=example.get("trained_tokens"),
            values=[example.get("log_probability", {}).get(form) for form in forms],
            largest=example.get("largest_difference"),
        )
        for example in kept.get("examples", [])
    ]
    return Certificate(
        passed=bool(kept.get("passed")),
        forms=[str(FORMS.get(form, form)) for form in forms],
        rows=lines,
        tolerance=kept.get("tolerance"),
        largest=kept.get("largest_difference"),
        stop_token=str(kept.get("stop_token", "")),
        stop_id=kept.get("stop_id"),
        problems=list(kept.get("problems", [])),
    )


@dataclass(frozen=True)
class Overlap:
    """How many rows that the model has seen are test rows of one dataset version."""

    version: DatasetVersion
    url: str
    seen: int


def overlaps(model: LanguageModel) -> list[Overlap]:
    """The newest version of each dataset of the team, against every dataset that is in the model's weights."""
    trained_on = list(_trained_on(model))
    newest: dict[int, DatasetVersion] = {}
    versions = DatasetVersion.objects.filter(dataset__team=model.team, test_count__gt=0).exclude(artifact="")
    for version in versions.select_related("dataset").order_by("-pk"):
        newest.setdefault(version.dataset_id, version)
    found = []
    for version in list(newest.values())[:MOST_TEST_SETS]:
        seen = sum(rows.test_inputs_seen(version, fitted_on=other) for other in trained_on)
        url = reverse("dataset_version", args=[model.team.slug, version.dataset.uid, version.number])
        found.append(Overlap(version, url, seen))
    return found


def _trained_on(model: LanguageModel) -> Iterator[DatasetVersion]:
    """Dataset versions by the hashes that the lineage froze; one that is gone cannot be compared."""
    named = model.facts.get("datasets") or [{"dataset": model.facts.get("dataset")}]
    for entry in named:
        versions = DatasetVersion.objects.filter(dataset__team=model.team, content_hash=entry.get("dataset") or "")
        version = versions.select_related("dataset").first()
        if version is not None:
            yield version
