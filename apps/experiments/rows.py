"""Reading the examples of a dataset version. Test rows leave this module only for an evaluation."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.core.files.storage import FileSystemStorage, storages
from django.utils.translation import gettext as _

from apps.core.artifacts import get_bytes
from apps.core.errors import NotAllowed
from apps.experiments.engine.earlier_file import write_earlier
from apps.experiments.engine.near_duplicates import group_keys
from apps.experiments.engine.near_filter import NearFilter
from apps.experiments.engine.row_reader import RowReader
from apps.experiments.engine.rows import Example, content_hash, from_parquet, is_unicode
from apps.experiments.engine.search_file import (
    LARGE_ROWS,
    MOST_FOUND,
    line_of,
    needle_of,
    search_lines,
    search_path,
)
from apps.experiments.engine.splits import Split
from apps.experiments.engine.text import normalise_input
from apps.experiments.models import Dataset, DatasetVersion

VISIBLE_SPLITS: tuple[Split, ...] = ("train", "validation")


@dataclass(frozen=True)
class Found:
    """Rows of a page of matches; `total` counts matches, and is the least there are where `more` is true."""

    rows: list[Example]
    total: int
    more: bool = False


@lru_cache(maxsize=4)
def _load(artifact: str, expected_hash: str) -> tuple[Example, ...]:
    examples = from_parquet(get_bytes(artifact))
    if content_hash(examples) != expected_hash:
        raise ValueError(f"{artifact} does not hold what its dataset version recorded")
    return examples


def _all(version: DatasetVersion) -> tuple[Example, ...]:
    """Every row. A large version is read and checked anew, since a process should not keep it."""
    if is_large(version):
        return tuple(_checked_reader(version).examples())
    return _load(version.artifact, version.content_hash)


def is_large(version: DatasetVersion) -> bool:
    """Whether rows are read from the file by need, not kept in memory."""
    return version.row_count >= LARGE_ROWS


def local_path(version: DatasetVersion) -> Path | None:
    """The rows file on this machine's disk; None where artifacts lie elsewhere."""
    storage = storages["artifacts"]
    return Path(storage.path(version.artifact)) if isinstance(storage, FileSystemStorage) else None


def open_file(version: DatasetVersion) -> Any:
    """The rows file as a `pyarrow.parquet.ParquetFile`, to be used in a `with` statement."""
    import pyarrow.parquet as pq

    path = local_path(version)
    return pq.ParquetFile(path if path is not None else storages["artifacts"].open(version.artifact, "rb"))


@lru_cache(maxsize=16)
def _reader(uid: Any, artifact: str) -> RowReader:
    """A version never changes, so what a reader knows of it holds for ever."""
    version = DatasetVersion(uid=uid, artifact=artifact)
    return RowReader(lambda: open_file(version))


def reader(version: DatasetVersion) -> RowReader:
    """Reads rows by need, test rows among them: for this app's services alone."""
    return _reader(version.uid, version.artifact)


@lru_cache(maxsize=64)
def _is_what_was_recorded(uid: Any, artifact: str, expected_hash: str) -> bool:
    return _reader(uid, artifact).content_hash() == expected_hash


def _checked_reader(version: DatasetVersion) -> RowReader:
    """A reader of rows that are what the version recorded. The first use in a process reads the whole file once."""
    if not _is_what_was_recorded(version.uid, version.artifact, version.content_hash):
        raise ValueError(f"{version.artifact} does not hold what its dataset version recorded")
    return reader(version)


def rows_of_every_version(dataset: Dataset) -> list[Example]:
    """Each input of any version once, so that a new version can keep the splits. Never for a model's eyes."""
    found: dict[str, Example] = {}
    for version in dataset.versions.order_by("number"):
        for row in _all(version):
            found.setdefault(row.input, row)
    return list(found.values())


def earlier_file(dataset: Dataset, path: Path) -> Path | None:
    """Write each input of any version once to `path`, for the intake engine; None for a dataset without versions.

    The file names the versions in it, so that what was staged against it is not accepted after another came.
    """
    versions = list(dataset.versions.order_by("number"))
    if not versions:
        return None
    hashes = [version.content_hash for version in versions]
    write_earlier(path, [lambda version=version: open_file(version) for version in versions], hashes=hashes)  # type: ignore[misc]  # bound now
    return path


@dataclass(frozen=True)
class Near:
    """Rows that could be almost the same as some new inputs, found without keeping any other row in memory.

    `earlier` has each input of any version of the dataset once, as its oldest version has it; `here` those of one
    version. Test rows are among them: for this app's services alone.
    """

    earlier: tuple[Example, ...]
    here: tuple[Example, ...]


def rows_near(version: DatasetVersion, inputs: Sequence[str]) -> Near:
    """Every near-duplicate of `inputs` in any version of the dataset, and few other rows."""
    folded = [normalise_input(text) for text in inputs if is_unicode(text)]
    wanted = NearFilter([text for text in folded if text])
    earlier: dict[str, Example] = {}
    here: list[Example] = []
    seen: set[bytes] = set()
    for each in version.dataset.versions.order_by("number"):
        own = each.pk == version.pk
        for row in _checked_reader(each).alike(wanted, skip=None if own else seen):
            earlier.setdefault(row.input, row)
            if own:
                here.append(row)
    return Near(tuple(earlier.values()), tuple(here))


def rows_alike(version: DatasetVersion) -> list[str]:
    """Ids of the rows that are almost the same as a row before them. Rows that are alike are of one group."""
    of_group = Counter(row.group_key for row in _checked_reader(version).examples())
    ids, texts = [], []
    for row in reader(version).examples():
        if of_group[row.group_key] > 1:
            ids.append(row.id)
            texts.append(row.input)
    seen: set[str] = set()
    again = []
    for id_, key in zip(ids, group_keys(texts), strict=True):
        if key in seen:
            again.append(id_)
        seen.add(key)
    return again


def require_recorded(version: DatasetVersion) -> None:
    """ValueError when the file does not hold what the version recorded, so that nothing is made of it."""
    _checked_reader(version)


def train_rows(version: DatasetVersion) -> tuple[Example, ...]:
    return _of_split(version, "train")


def train_sample(version: DatasetVersion, *, limit: int = 5000) -> list[Example]:
    """Training rows to judge by what the others are like: the first ones of a large version, all of a small one."""
    if is_large(version):
        return page(version, split="train", offset=0, limit=limit)[0]
    return list(train_rows(version))


def validation_rows(version: DatasetVersion) -> tuple[Example, ...]:
    return _of_split(version, "validation")


def visible_rows(version: DatasetVersion) -> Iterator[Example]:
    """Every row that a person may read, split by split; of a large version part by part."""
    for split in VISIBLE_SPLITS:
        if is_large(version):
            yield from _checked_reader(version).examples(split=split)
        else:
            yield from _of_split(version, split)


def _of_split(version: DatasetVersion, split: Split) -> tuple[Example, ...]:
    if is_large(version):
        return tuple(_checked_reader(version).examples(split=split))
    return tuple(row for row in _all(version) if row.split == split)


def _visible(split: str) -> Split:
    if split not in VISIBLE_SPLITS:
        raise NotAllowed(_("Test rows are shown only with the results of a final test."))
    return split


def page(version: DatasetVersion, *, split: str, offset: int, limit: int) -> tuple[list[Example], int]:
    """Rows `offset` to `offset + limit` of a visible split, and how many there are."""
    shown = _visible(split)
    if is_large(version):
        count = version.train_count if shown == "train" else version.validation_count
        return reader(version).page(shown, offset=offset, limit=limit), count
    found = _of_split(version, shown)
    return list(found[offset : offset + limit]), len(found)


def search(version: DatasetVersion, *, split: str, text: str, offset: int, limit: int) -> Found:
    """Rows of a visible split whose input or expected answer contains `text`, whatever its case and spaces.

    At most 1,000 matches are counted.
    """
    shown, needle = _visible(split), needle_of(text)
    if not needle:
        found, total = page(version, split=split, offset=offset, limit=limit)
        return Found(found, total)
    places = _places_with(version, shown, needle)
    wanted = places[:MOST_FOUND][offset : offset + limit]
    matching = reader(version).at(shown, wanted) if is_large(version) else _at(_of_split(version, shown), wanted)
    return Found(matching, min(len(places), MOST_FOUND), more=len(places) > MOST_FOUND)


def _at(found: tuple[Example, ...], places: list[int]) -> list[Example]:
    return [found[place] for place in places]


def _places_with(version: DatasetVersion, split: Split, needle: str) -> list[int]:
    """Places within the split of the matching rows, one more than are counted at most."""
    path = local_path(version)
    lines = search_path(path, split) if path is not None else None
    if is_large(version) and lines is not None and lines.exists():
        with lines.open("rb", buffering=0) as file:
            return search_lines(file, needle, MOST_FOUND + 1)
    examples = reader(version).examples(split=split) if is_large(version) else iter(_of_split(version, split))
    places: list[int] = []
    for place, row in enumerate(examples):
        if needle in line_of(row.input, row.expected):
            places.append(place)
            if len(places) > MOST_FOUND:
                break
    return places


def rows_by_ids(version: DatasetVersion, ids: Collection[str]) -> dict[str, Example]:
    """The rows of visible splits with these ids, each by its id."""
    if is_large(version):
        found = reader(version).by_ids(ids)
    else:
        wanted = set(ids)
        found = {row.id: row for row in _all(version) if row.id in wanted}
    return {id_: row for id_, row in found.items() if row.split in VISIBLE_SPLITS}


def row_by_id(version: DatasetVersion, id_: str) -> Example | None:
    """The row of a visible split with an id; None for any other, also for a test row."""
    return rows_by_ids(version, [id_]).get(id_)


def test_ids(version: DatasetVersion) -> list[str]:
    """Ids of the test rows: enough to plan an evaluation, nothing to learn from."""
    return [row.id for row in _of_split(version, "test")]


def test_inputs_among(version: DatasetVersion, texts: Iterable[str]) -> int:
    """How many of `texts` are inputs of the version's test rows, whatever their spaces and case."""
    locked = {normalise_input(row.input) for row in _of_split(version, "test")}
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
