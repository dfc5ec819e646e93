"""A large version is read by need and gives what a small one gives; staged rows become a version only unchanged."""

import json
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.models import Team, User
from apps.core.errors import ApplicationError, Conflict, NotAllowed
from apps.experiments import rows
from apps.experiments.engine import row_reader
from apps.experiments.engine.intake import rowfile, second_pass
from apps.experiments.engine.intake.__main__ import main
from apps.experiments.engine.rows import from_parquet, to_parquet
from apps.experiments.engine.search_file import line_of, search_lines
from apps.experiments.models import Dataset, DatasetVersion
from apps.experiments.services.datasets import (
    dataset_create,
    dataset_version_create,
    dataset_version_from_staged,
)
from apps.experiments.services.derived_versions import dataset_version_derive
from apps.experiments.tests.world import pairs

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty rows are many, a row group holds sixteen, and two are looked at in one go."""
    for module in (rows, second_pass):
        monkeypatch.setattr(module, "LARGE_ROWS", 20)
    monkeypatch.setattr(rowfile, "ROWS_PER_GROUP", 16)
    monkeypatch.setattr(rowfile, "BATCH_ROWS", 8)
    monkeypatch.setattr(row_reader, "_GROUPS_AT_ONCE", 2)


def stage(folder: Path, dataset: Dataset, count: int = 100, **spec: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "upload.jsonl"
    lines = [json.dumps({"input": text, "expected": expected}) for text, expected in pairs(count)]
    file.write_text("\n".join([*lines, lines[0], "{"]))
    earlier = rows.earlier_file(dataset, folder / "earlier.parquet")
    mapping = {"input": "input", "expected": "expected"}
    content = {
        "file": str(file), "mapping": mapping, "split_seed": dataset.split_seed,
        "earlier": str(earlier) if earlier else None, **spec,
    }  # fmt: skip
    (folder / "spec.json").write_text(json.dumps(content))
    assert main(["stage", str(folder)]) == 0
    report: dict[str, Any] = json.loads((folder / "report.json").read_bytes())
    return report


def accept(actor: User, dataset: Dataset, folder: Path, report: dict[str, Any]) -> DatasetVersion:
    return dataset_version_from_staged(
        actor=actor, dataset=dataset, staged=folder, report=report, answer={"format": "text"}
    )


@pytest.fixture
def both(team: Team, bob: User, tmp_path: Path, large: None) -> tuple[DatasetVersion, DatasetVersion]:
    """The same rows as a large version with several row groups, and as a small one."""
    dataset = dataset_create(actor=bob, team=team, name="Large", split_seed=7)
    version = accept(bob, dataset, tmp_path / "staged", stage(tmp_path / "staged", dataset))
    small = dataset_create(actor=bob, team=team, name="Small", split_seed=7)
    return version, dataset_version_create(actor=bob, dataset=small, pairs=pairs(100))


def test_a_staged_version_is_the_one_that_its_pairs_make(both: tuple[DatasetVersion, DatasetVersion]) -> None:
    version, same = both
    assert version.content_hash == same.content_hash
    assert (version.train_count, version.test_count) == (same.train_count, same.test_count)
    assert version.facts["left_out_counts"] == {"duplicate": 1, "not valid JSON": 1}
    assert version.facts["rows_read"] == 102
    assert [row["row"] for row in version.facts["left_out"]] == [101, 102]
    with rows.open_file(version) as file:
        assert file.num_row_groups > 3


@pytest.mark.parametrize("split", ["train", "validation"])
def test_pages_of_a_large_version_are_those_of_its_rows(
    both: tuple[DatasetVersion, DatasetVersion], split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = both[0]
    expected = [row for row in from_parquet(rows.get_bytes(version.artifact)) if row.split == split]
    for offset, limit in ((0, 5), (3, 20), (len(expected) - 2, 10), (len(expected), 5), (0, 1000)):
        shown, total = rows.page(version, split=split, offset=offset, limit=limit)
        assert (shown, total) == (expected[offset : offset + limit], len(expected))
    assert list(rows.train_rows(version) if split == "train" else rows.validation_rows(version)) == expected


def test_a_search_finds_the_same_with_and_without_the_file_of_texts(
    both: tuple[DatasetVersion, DatasetVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = both[0]
    path = rows.local_path(version)
    assert path is not None
    for text in ("  ELM1", "street", '"zip"', "nowhere", "Town7 ", ""):
        with_file = rows.search(version, split="train", text=text, offset=1, limit=4)
        monkeypatch.setattr(rows, "search_path", lambda path, split: path.with_name("absent"))
        assert rows.search(version, split="train", text=text, offset=1, limit=4) == with_file
        monkeypatch.undo()
        monkeypatch.setattr(rows, "LARGE_ROWS", 20)
        monkeypatch.setattr(rows, "LARGE_ROWS", 10**6)
        assert rows.search(version, split="train", text=text, offset=1, limit=4) == with_file
        monkeypatch.setattr(rows, "LARGE_ROWS", 20)
    assert rows.search(version, split="train", text="street", offset=0, limit=1).total == version.train_count


def test_no_test_row_is_shown_or_searched(both: tuple[DatasetVersion, DatasetVersion]) -> None:
    for version in both:
        hidden = rows.test_ids(version)
        shown = rows.page(version, split="train", offset=0, limit=1)[0][0]
        assert rows.row_by_id(version, shown.id) == shown
        assert rows.row_by_id(version, hidden[0]) is None
        assert rows.row_by_id(version, "none") is None
        with pytest.raises(NotAllowed):
            rows.search(version, split="test", text="a", offset=0, limit=1)
        with pytest.raises(NotAllowed):
            rows.page(version, split="test", offset=0, limit=1)
    texts = [path.read_text() for path in rows.local_path(both[0]).parent.glob("*.txt")]  # type: ignore[union-attr]
    held = [row for row in from_parquet(rows.get_bytes(both[0].artifact)) if row.split == "test"]
    assert len(texts) == 2
    assert held
    assert not any(line_of(row.input, row.expected) in text for row in held for text in texts)


def test_a_derived_large_version_is_searched_too(both: tuple[DatasetVersion, DatasetVersion], bob: User) -> None:
    made = dataset_version_derive(actor=bob, version=both[0], operation="drop_text", text="elm")
    path = rows.local_path(made)
    assert path is not None
    assert len(list(path.parent.glob("*.txt"))) == 2
    assert rows.search(made, split="train", text="elm", offset=0, limit=5).total == 0
    assert rows.search(made, split="train", text="oak", offset=0, limit=5).total > 0


def test_a_large_file_that_was_changed_is_refused(both: tuple[DatasetVersion, DatasetVersion]) -> None:
    path = rows.local_path(both[0])
    assert path is not None
    examples = from_parquet(path.read_bytes())
    path.unlink()
    path.write_bytes(to_parquet([row for row in examples if row.split != "test"]))
    rows._is_what_was_recorded.cache_clear()
    with pytest.raises(ValueError, match="does not hold what its dataset version recorded"):
        rows.train_rows(both[0])


# --- accepting what was staged


def test_staged_rows_that_were_changed_are_refused(team: Team, bob: User, tmp_path: Path) -> None:
    dataset = dataset_create(actor=bob, team=team, name="Changed", split_seed=7)
    report = stage(tmp_path, dataset)
    file = tmp_path / "rows.parquet"
    examples = from_parquet(file.read_bytes())
    file.write_bytes(to_parquet(examples[1:]))
    with pytest.raises(ApplicationError, match="have changed since they were checked"):
        accept(bob, dataset, tmp_path, report)
    moved = [type(row)(row.id, row.input, row.expected, row.group_key, "train") for row in examples]
    file.write_bytes(to_parquet(moved))
    with pytest.raises(ApplicationError, match="split for another dataset"):
        accept(bob, dataset, tmp_path, report)
    assert not DatasetVersion.objects.exists()


def test_rows_staged_before_another_version_came_are_not_accepted(team: Team, bob: User, tmp_path: Path) -> None:
    dataset = dataset_create(actor=bob, team=team, name="Late", split_seed=7)
    report = stage(tmp_path / "one", dataset)
    dataset_version_create(actor=bob, dataset=dataset, pairs=pairs(30))
    with pytest.raises(Conflict, match="Another version was made since"):
        accept(bob, dataset, tmp_path / "one", report)
    version = accept(bob, dataset, tmp_path / "two", stage(tmp_path / "two", dataset))
    assert (version.number, version.row_count) == (2, 100)
    assert accept(bob, dataset, tmp_path / "two", stage(tmp_path / "two", dataset)) == version


def test_kept_columns_are_part_of_the_version(team: Team, bob: User, tmp_path: Path) -> None:
    dataset = dataset_create(actor=bob, team=team, name="Columns", split_seed=7)
    mapping = {"input": "input", "expected": "expected", "keep": ["expected"]}
    report = stage(tmp_path, dataset, mapping=mapping)
    version = dataset_version_from_staged(
        actor=bob, dataset=dataset, staged=tmp_path, report=report, answer={"format": "text"}, columns=["expected"]
    )
    assert version.columns == ["expected"]
    assert all(row.columns == {"expected": row.expected} for row in rows.train_rows(version))
    with rows.open_file(version) as file:
        assert "columns" in file.schema_arrow.names


def test_lines_are_found_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.experiments.engine.search_file._CHUNK_BYTES", 7)
    path = tmp_path / "lines"
    path.write_bytes(b"one\ntwo two\n\na line that is longer than a block, one\ntwone\n")
    with path.open("rb") as file:
        assert search_lines(file, "one") == [0, 3, 4]
        file.seek(0)
        assert search_lines(file, "two") == [1, 4]
        file.seek(0)
        assert search_lines(file, "one", 2) == [0, 3]


@given(
    st.lists(st.text("abé\x1f ", max_size=9), max_size=12), st.text("abé ", min_size=1, max_size=4), st.integers(1, 9)
)
def test_lines_are_those_that_hold_the_text(lines: list[str], needle: str, block: int) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    with patch("apps.experiments.engine.search_file._CHUNK_BYTES", block):
        found = search_lines(BytesIO(data), needle, 5)
    assert found == [number for number, line in enumerate(lines) if needle in line][:5]


# --- from the command line


def test_the_command_imports_and_lists(team: Team, alice: User, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    made = [(text, ("good", "bad")[number % 2]) for number, (text, _expected) in enumerate(pairs(60))]
    file.write_text("\n".join(["text,label", *(f'"{text}",{label}' for text, label in made), ",bad"]))
    said = StringIO()
    call_command("dataset_import", str(file), team=team.slug, name="Reviews", seed=7, stdout=said)
    version = DatasetVersion.objects.get()
    assert (version.row_count, version.answer) == (60, {"format": "label", "labels": ["bad", "good"]})
    assert "61 rows read, 60 accepted" in said.getvalue()
    assert "empty input: 1" in said.getvalue()
    assert "rows/s" in said.getvalue()
    file.write_text("\n".join(["text,label", *(f'"{text}.",{label}' for text, label in made[:30])]))
    call_command("dataset_import", str(file), team=team.slug, name="Reviews", stdout=StringIO())
    later = DatasetVersion.objects.get(number=2)
    before = {row.input: row.split for row in rows._all(version)}
    assert {row.input: row.split for row in rows._all(later)} == {
        f"{text}.": before[text] for text, _label in made[:30]
    }
    listed = StringIO()
    call_command("dataset_versions", team=team.slug, stdout=listed)
    assert "Reviews" in listed.getvalue()
    assert version.content_hash[:12] in listed.getvalue()


def test_the_command_says_what_is_wrong(team: Team, alice: User, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    with pytest.raises(CommandError, match="There is no file"):
        call_command("dataset_import", str(file), team=team.slug, name="x")
    file.write_bytes(b"PK\x03\x04")
    with pytest.raises(CommandError, match="spreadsheet"):
        call_command("dataset_import", str(file), team=team.slug, name="x", stdout=StringIO())
    with pytest.raises(CommandError, match="There is no team"):
        call_command("dataset_import", str(file), team="nobody", name="x")
    assert not Dataset.objects.exists()


def test_a_file_of_five_columns_is_read_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "old.parquet"
    path.write_bytes(to_parquet(from_parquet(to_parquet([]))))
    assert pq.read_schema(path).names == ["id", "input", "expected", "group_key", "split"]
