"""Reading the examples of a dataset version. Test rows leave this module only for an evaluation."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from django.utils.translation import gettext as _

from apps.core.artifacts import get_bytes
from apps.core.errors import NotAllowed
from apps.experiments.engine.near_duplicates import group_keys
from apps.experiments.engine.rows import Example, content_hash, from_parquet
from apps.experiments.engine.text import normalise_input
from apps.experiments.models import Dataset, DatasetVersion

VISIBLE_SPLITS = ("train", "validation")


@lru_cache(maxsize=4)
def _load(artifact: str, expected_hash: str) -> tuple[Example, ...]:
    examples = from_parquet(get_bytes(artifact))
    if content_hash(examples) != expected_hash:
        raise ValueError(f"{artifact} does not hold what its dataset version recorded")
    return examples


def _all(version: DatasetVersion) -> tuple[Example, ...]:
    return _load(version.artifact, version.content_hash)


def rows_of_every_version(dataset: Dataset) -> list[Example]:
    """Each input of any version once, so that a new version can keep the splits. Never for a model's eyes."""
    found: dict[str, Example] = {}
    for version in dataset.versions.order_by("number"):
        for row in _all(version):
            found.setdefault(row.input, row)
    return list(found.values())


def train_rows(version: DatasetVersion) -> tuple[Example, ...]:
    return tuple(row for row in _all(version) if row.split == "train")


def validation_rows(version: DatasetVersion) -> tuple[Example, ...]:
    return tuple(row for row in _all(version) if row.split == "validation")


def page(version: DatasetVersion, *, split: str, offset: int, limit: int) -> tuple[list[Example], int]:
    """Rows `offset` to `offset + limit` of a visible split, and how many there are."""
    if split not in VISIBLE_SPLITS:
        raise NotAllowed(_("Test rows are shown only with the results of a final test."))
    rows = [row for row in _all(version) if row.split == split]
    return rows[offset : offset + limit], len(rows)


def test_ids(version: DatasetVersion) -> list[str]:
    """Ids of the test rows: enough to plan an evaluation, nothing to learn from."""
    return [row.id for row in _all(version) if row.split == "test"]


def test_inputs_among(version: DatasetVersion, texts: Iterable[str]) -> int:
    """How many of `texts` are inputs of the version's test rows, whatever their spaces and case."""
    locked = {normalise_input(row.input) for row in _all(version) if row.split == "test"}
    return sum(normalise_input(text) in locked for text in texts)


def test_inputs_seen(version: DatasetVersion, *, fitted_on: DatasetVersion) -> int:
    """How many training or validation rows of `fitted_on` are test rows of `version`: none within one dataset."""
    return test_inputs_among(version, (row.input for row in _all(fitted_on) if row.split != "test"))


def train_rows_like_test_rows(version: DatasetVersion, *, near: bool = True) -> tuple[str, ...]:
    """Ids of training rows that share their group or input with a test row, with `near` also those almost the same.

    None in a version that was made here: whoever trains asks all the same, since files can be changed by hand.
    """
    examples = _all(version)
    train = [row for row in examples if row.split == "train"]
    test = [row for row in examples if row.split == "test"]
    inputs, groups = {normalise_input(row.input) for row in test}, {row.group_key for row in test}
    shared = {row.id for row in train if row.group_key in groups or normalise_input(row.input) in inputs}
    if near:
        keys = group_keys([row.input for row in (*train, *test)])
        hidden = set(keys[len(train) :])
        shared |= {row.id for row, key in zip(train, keys, strict=False) if key in hidden}
    return tuple(row.id for row in train if row.id in shared)


def rows_for_evaluation(evaluation: Any) -> dict[str, Example]:
    """The rows that an evaluation visits, by id. A final test must have been registered and is recorded as a look."""
    version: DatasetVersion = evaluation.experiment.dataset_version
    if evaluation.split == "test" and not evaluation.looks.exists():
        raise NotAllowed(_("Test rows are handed out only to an evaluation whose look at them is recorded."))
    wanted = set(evaluation.example_ids)
    return {row.id: row for row in _all(version) if row.id in wanted and row.split == evaluation.split}
