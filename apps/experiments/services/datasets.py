"""Creating datasets and their immutable versions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Max, Q
from django.utils.translation import gettext as _

from apps.core import audit, live
from apps.core.access import require
from apps.core.artifacts import put_bytes
from apps.core.errors import ApplicationError, Conflict
from apps.core.storable import storable_text
from apps.core.unique import taken_first
from apps.experiments import rows
from apps.experiments.engine.intake.problems import KINDS
from apps.experiments.engine.rows import assemble, content_hash, to_parquet
from apps.experiments.models import Dataset, DatasetImport, DatasetVersion
from apps.experiments.models.shares import DEFAULT_PERCENT
from apps.experiments.selectors import dataset_depending
from apps.experiments.version_files import ROWS_FILE, checked_file, forget, store


def dataset_create(
    *,
    actor: Any,
    team: Any,
    name: str,
    split_seed: int,
    validation_percent: int = DEFAULT_PERCENT,
    test_percent: int = DEFAULT_PERCENT,
    description: str = "",
    source: str = "",
    licence: str = "",
) -> Dataset:
    """A named collection. Its split seed and shares are decided here, once, for every version."""
    with transaction.atomic():
        require(team, actor, "edit")
        name_free(team=team, name=name)
        dataset = Dataset(
            team=team,
            name=name,
            split_seed=split_seed,
            validation_percent=validation_percent,
            test_percent=test_percent,
            description=description,
            source=source,
            licence=licence,
            created_by=actor,
        )
        dataset.check_shares()
        with taken_first(_name_taken(name)):
            dataset.save()
        audit.record(
            actor=actor,
            verb="dataset.created",
            target=dataset,
            name=name,
            split_seed=split_seed,
            validation_percent=validation_percent,
            test_percent=test_percent,
        )
    return dataset


def name_free(*, team: Any, name: str) -> None:
    """ApplicationError unless the team may call a new dataset so."""
    if not name.strip():
        raise ApplicationError(_("Give the dataset a name."), field="name")
    if Dataset.objects.filter(team=team, name=name).exists():
        raise _name_taken(name)


def _name_taken(name: str) -> Conflict:
    return Conflict(
        _("This team has a dataset called %(name)s already. Take another name, or add a version to that one.")
        % {"name": name},
        code="name_taken",
        field="name",
    )


def dataset_rename(*, actor: Any, dataset: Dataset, name: str) -> Dataset:
    """Call it something else; versions, splits and everything that uses them stay."""
    with transaction.atomic():
        require(dataset, actor, "edit")
        wanted = name.strip()
        before = Dataset.objects.select_for_update().get(pk=dataset.pk).name
        if wanted != before:
            name_free(team=dataset.team, name=wanted)
        dataset.name = wanted
        with taken_first(_name_taken(wanted)):
            dataset.save(update_fields=["name"])
        audit.record(actor=actor, verb="dataset.renamed", target=dataset, before=before, name=wanted)
        live.publish(dataset, "name")
    return dataset


def dataset_delete(*, actor: Any, dataset: Dataset) -> None:
    """Remove a dataset with its versions, imports and files. Refused, naming what, while something depends on it."""
    with transaction.atomic():
        require(dataset, actor, "edit")
        Dataset.objects.select_for_update().get(pk=dataset.pk)
        versions = DatasetVersion.objects.filter(dataset=dataset)
        imports = DatasetImport.objects.filter(Q(dataset=dataset) | Q(dataset_version__in=versions))
        depending = dataset_depending(dataset)
        if depending:
            raise Conflict(
                _("%(name)s is kept: it is used by %(what)s.") % {"name": dataset.name, "what": ", ".join(depending)}
            )
        artifacts = list(versions.values_list("artifact", flat=True))
        uid, count = dataset.uid, len(artifacts)
        audit.record(actor=actor, verb="dataset.deleted", target=dataset, name=dataset.name, versions=count)
        live.publish(dataset, "deleted")
        imports.delete()
        # A version made from another is deleted before it.
        for version in versions.order_by("-number"):
            version.delete()
        dataset.delete()
        transaction.on_commit(lambda: forget(artifacts, uid))


def dataset_version_create(
    *,
    actor: Any,
    dataset: Dataset,
    pairs: Sequence[tuple[str, str]],
    answer: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
) -> DatasetVersion:
    """Store (input, expected) pairs as the next version, splits decided. The same content gives the same version.

    Rows keep the splits that they, or rows almost like them, had in any earlier version.
    """
    with transaction.atomic():
        require(dataset, actor, "edit")
        # Locked before the earlier versions are read: two versions made at once must not decide a split twice.
        Dataset.objects.select_for_update().get(pk=dataset.pk)
        assembled = assemble(
            pairs,
            seed=dataset.split_seed,
            probabilities=dataset.probabilities,
            earlier=rows.rows_of_every_version(dataset),
        )
        if not assembled.examples:
            raise ApplicationError(_("No row is left: every row was empty or a duplicate."), code="empty_dataset")
        digest = content_hash(assembled.examples)
        existing = DatasetVersion.objects.filter(dataset=dataset, content_hash=digest).first()
        if existing is not None:
            return existing
        artifact = put_bytes(f"datasets/{dataset.uid}/{digest}.parquet", to_parquet(assembled.examples))
        return dataset_version_add(
            actor=actor,
            dataset=dataset,
            content_hash=digest,
            artifact=artifact,
            train_count=assembled.count("train"),
            validation_count=assembled.count("validation"),
            test_count=assembled.count("test"),
            answer=answer or {"format": "text"},
            facts={**(facts or {}), "rows_read": len(pairs), "left_out": _left_out(assembled)},
        )


def dataset_version_from_staged(
    *,
    actor: Any,
    dataset: Dataset,
    staged: Path,
    report: dict[str, Any],
    answer: dict[str, Any],
    columns: Sequence[str] = (),
    parent: DatasetVersion | None = None,
    facts: dict[str, Any] | None = None,
) -> DatasetVersion:
    """Make the next version of what the intake staged: `staged` is its folder, `report` the content of report.json.

    The rows are read again and must be what the report says, split by this dataset's seed. Conflict when another
    version was made since they were checked: their splits were decided without knowing it.
    """
    require(dataset, actor, "edit")
    written = checked_file(Path(staged) / ROWS_FILE, dataset=dataset, report=report)
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=dataset.pk)
        existing = DatasetVersion.objects.filter(dataset=dataset, content_hash=written.content_hash).first()
        if existing is not None:
            return existing
        made = list(dataset.versions.order_by("number").values_list("content_hash", flat=True))
        if made != report.get("earlier_versions", []):
            raise Conflict(_("Another version was made since these rows were checked. Check the file again."))
        return dataset_version_add(
            actor=actor,
            dataset=dataset,
            content_hash=written.content_hash,
            artifact=store(dataset, written),
            **written.counts(),
            answer=answer,
            columns=list(columns),
            parent=parent,
            facts={**(facts or {}), **_facts_of_report(report)},
        )


# What a version keeps of the report of its import.
_KEPT = (
    "rows_read", "fixed", "fixed_by_reason", "labels", "lengths", "tokens", "personal", "near_duplicate_groups",
    "largest_near_duplicate_group", "pairs_not_compared", "rates",
)  # fmt: skip


def _facts_of_report(report: dict[str, Any]) -> dict[str, Any]:
    """`left_out` names the first rows of each reason with their line, `left_out_counts` counts all of them."""
    named = [
        {"row": found["line"], "reason": KINDS[found["code"]].reason, "input": ""}
        for found in report.get("problems", [])
        if found["effect"] == "left_out"
    ]
    kept = {name: report[name] for name in _KEPT if name in report}
    return {**kept, "left_out": named, "left_out_counts": report.get("left_out", {})}


def dataset_version_add(
    *, actor: Any, dataset: Dataset, verb: str = "dataset_version.created", **values: Any
) -> DatasetVersion:
    """The row of the next version, whose file is stored. The caller holds the dataset's lock."""
    require(dataset, actor, "edit")
    last = dataset.versions.aggregate(last=Max("number"))["last"] or 0
    version: DatasetVersion = DatasetVersion.objects.create(
        dataset=dataset, number=last + 1, created_by=actor, **values
    )
    audit.record(actor=actor, verb=verb, target=version, number=version.number, hash=version.content_hash)
    live.publish(dataset, "versions")
    return version


def _left_out(assembled: Any) -> list[dict[str, Any]]:
    return [
        {"row": row.row, "reason": row.reason, "input": storable_text(row.input[:200])} for row in assembled.left_out
    ]
