"""An artifact appears whole or not at all, and never changes under its name."""

import os
import time
from pathlib import Path

import pytest

from apps.accounts.models import Team, User
from apps.billing.tests.processes import start_process
from apps.core import artifacts
from apps.core.access import fetch_for_user, require
from apps.core.errors import ApplicationError, NotAllowed, NotFound
from apps.core.storable import storable_json, storable_text
from apps.core.tests.factories import DatasetFactory, UserFactory
from apps.experiments.models import Dataset


def test_what_was_put_can_be_read(artifact_folder: Path) -> None:
    assert artifacts.put_bytes("a/b.bin", b"content") == "a/b.bin"
    assert artifacts.get_bytes("a/b.bin") == b"content"


def test_the_same_content_may_be_put_twice_and_other_content_is_refused(artifact_folder: Path) -> None:
    artifacts.put_bytes("a.bin", b"content")
    artifacts.put_bytes("a.bin", b"content")
    with pytest.raises(ApplicationError, match=r"a\.bin exists with other content"):
        artifacts.put_bytes("a.bin", b"other")
    assert artifacts.get_bytes("a.bin") == b"content"


def test_a_write_that_fails_leaves_nothing_under_the_name(
    artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        artifacts.put_bytes("a.bin", b"content")
    assert list(artifact_folder.iterdir()) == []


@pytest.mark.parametrize("other", [b"first", b"second"])
def test_of_two_writers_at_once_the_first_stays(
    other: bytes, artifact_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def somebody_writes(_descriptor: int) -> None:
        (artifact_folder / "a.bin").write_bytes(b"first")

    monkeypatch.setattr(os, "fsync", somebody_writes)
    if other == b"first":
        assert artifacts.put_bytes("a.bin", other) == "a.bin"
    else:
        with pytest.raises(ApplicationError, match="other content"):
            artifacts.put_bytes("a.bin", other)
    assert [(path.name, path.read_bytes()) for path in artifact_folder.iterdir()] == [("a.bin", b"first")]


def folder_with(path: Path, **files: str) -> Path:
    path.mkdir(parents=True)
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def test_a_folder_that_is_there_already_is_kept(artifact_folder: Path, tmp_path: Path) -> None:
    artifacts.put_folder(folder_with(tmp_path / "one", weights="1"), "models/m")
    artifacts.put_folder(folder_with(tmp_path / "two", weights="2"), "models/m")
    assert (artifact_folder / "models" / "m" / "weights").read_text() == "1"
    assert [path.name for path in (artifact_folder / "models").iterdir()] == ["m"]


def test_a_folder_that_another_process_put_meanwhile_is_kept(
    artifact_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder_with(tmp_path / "one", weights="1")
    copy = artifacts.shutil.copytree

    def copy_slowly(*args: object, **more: object) -> object:
        folder_with(artifact_folder / "models" / "m", weights="first")
        return copy(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(artifacts.shutil, "copytree", copy_slowly)
    artifacts.put_folder(source, "models/m")
    assert (artifact_folder / "models" / "m" / "weights").read_text() == "first"
    assert [path.name for path in (artifact_folder / "models").iterdir()] == ["m"]


def test_a_folder_digest_covers_names_and_contents_and_nothing_else(tmp_path: Path) -> None:
    one = artifacts.folder_digest(folder_with(tmp_path / "one", a="1", b="2"))
    assert artifacts.folder_digest(folder_with(tmp_path / "two", b="2", a="1")) == one
    assert artifacts.folder_digest(folder_with(tmp_path / "three", a="1", b="3")) != one
    assert artifacts.folder_digest(folder_with(tmp_path / "four", a="1", c="2")) != one
    assert artifacts.folder_digest(folder_with(tmp_path / "five", a="12", b="")) != one


def put_and_die(name: str) -> None:
    def die(source: object, target: object) -> None:
        os._exit(9)

    os.link = die  # type: ignore[assignment]
    artifacts.put_bytes(name, b"half")


@pytest.mark.django_db(transaction=True)
def test_a_process_killed_before_the_end_leaves_no_artifact_and_its_rest_is_deleted_a_day_later(
    artifact_folder: Path,
) -> None:
    process = start_process(put_and_die, "a.bin")
    process.join(20)
    assert process.exitcode == 9
    assert not (artifact_folder / "a.bin").exists()
    artifacts.put_bytes("a.bin", b"whole")
    assert artifacts.get_bytes("a.bin") == b"whole"

    folder_with(artifact_folder / f".m.{'0' * 32}", weights="half")
    folder_with(artifact_folder / ".kept", weights="whole")
    assert artifacts.forget_partials() == 0
    assert len(list(artifact_folder.iterdir())) == 4
    assert artifacts.forget_partials(now=time.time() + artifacts.PARTIAL_SECONDS + 5) == 2
    assert sorted(path.name for path in artifact_folder.iterdir()) == [".kept", "a.bin"]


# --- text that can be stored


def test_text_that_no_database_takes_becomes_text_that_every_one_does() -> None:
    mended = storable_text("a\x00b\ud800c\udfff é \N{SNOWMAN}")
    assert "\x00" not in mended
    assert mended.encode().decode() == mended
    assert mended.startswith("a\x01b\N{REPLACEMENT CHARACTER}")
    assert mended.endswith("é \N{SNOWMAN}")
    assert storable_json({"k\x00": ["\x00", 1, None, {"a": "\x00"}]}) == {"k\x01": ["\x01", 1, None, {"a": "\x01"}]}


def test_ordinary_text_stays_as_it_is() -> None:
    for text in ("", "Straße 5\n\t", "日本語", "\N{REPLACEMENT CHARACTER}", "\U0001f600"):
        assert storable_text(text) == text


# --- who may


@pytest.fixture
def dataset(team: Team, alice: User) -> Dataset:
    row: Dataset = DatasetFactory.create(team=team, created_by=alice)
    return row


def test_a_stranger_finds_nothing_and_a_viewer_is_told_what_is_missing(
    dataset: Dataset, vera: User, bob: User, charlie: User
) -> None:
    with pytest.raises(NotFound):
        fetch_for_user(Dataset, charlie, uid=dataset.uid)
    with pytest.raises(NotAllowed):
        fetch_for_user(Dataset, vera, "edit", uid=dataset.uid)
    assert fetch_for_user(Dataset, vera, uid=dataset.uid) == dataset
    assert fetch_for_user(Dataset, bob, "edit", uid=dataset.uid) == dataset


def test_a_change_needs_the_role_in_the_rows_own_team(dataset: Dataset, people: dict[str, User]) -> None:
    may = {"alice": True, "adam": True, "bob": True, "vera": False, "rita": False, "charlie": False}
    for name, allowed in may.items():
        if allowed:
            require(dataset, people[name], "edit")
        else:
            with pytest.raises(NotAllowed):
                require(dataset, people[name], "edit")


def test_an_operator_may_change_any_row_until_the_account_is_closed(dataset: Dataset) -> None:
    operator = UserFactory.create(is_superuser=True)
    require(dataset, operator, "edit")
    operator.is_active = False
    with pytest.raises(NotAllowed):
        require(dataset, operator, "edit")
