"""Creating datasets and their immutable versions."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from apps.core import audit, live
from apps.core.access import require
from apps.core.artifacts import put_bytes
from apps.core.errors import ApplicationError
from apps.core.storable import storable_text
from apps.experiments import rows
from apps.experiments.engine.rows import assemble, content_hash, to_parquet
from apps.experiments.models import Dataset, DatasetVersion


def dataset_create(
    *, actor: Any, team: Any, name: str, split_seed: int, description: str = "", source: str = "", licence: str = ""
) -> Dataset:
    """A named collection. Its split seed is decided here, once, for every version."""
    with transaction.atomic():
        require(team, actor, "edit")
        dataset: Dataset = Dataset.objects.create(
            team=team,
            name=name,
            split_seed=split_seed,
            description=description,
            source=source,
            licence=licence,
            created_by=actor,
        )
        audit.record(actor=actor, verb="dataset.created", target=dataset, name=name, split_seed=split_seed)
    return dataset


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
        assembled = assemble(pairs, seed=dataset.split_seed, earlier=rows.rows_of_every_version(dataset))
        if not assembled.examples:
            raise ApplicationError(_("No row is left: every row was empty or a duplicate."), code="empty_dataset")
        digest = content_hash(assembled.examples)
        existing = DatasetVersion.objects.filter(dataset=dataset, content_hash=digest).first()
        if existing is not None:
            return existing
        artifact = put_bytes(f"datasets/{dataset.uid}/{digest}.parquet", to_parquet(assembled.examples))
        last = dataset.versions.aggregate(last=Max("number"))["last"] or 0
        version: DatasetVersion = DatasetVersion.objects.create(
            dataset=dataset,
            number=last + 1,
            content_hash=digest,
            artifact=artifact,
            train_count=assembled.count("train"),
            validation_count=assembled.count("validation"),
            test_count=assembled.count("test"),
            created_by=actor,
            answer=answer or {"format": "text"},
            facts={**(facts or {}), "rows_read": len(pairs), "left_out": _left_out(assembled)},
        )
        audit.record(actor=actor, verb="dataset_version.created", target=version, number=version.number, hash=digest)
        live.publish(dataset, "versions")
    return version


def _left_out(assembled: Any) -> list[dict[str, Any]]:
    return [
        {"row": row.row, "reason": row.reason, "input": storable_text(row.input[:200])} for row in assembled.left_out
    ]
