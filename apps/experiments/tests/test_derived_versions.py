"""Versions made from versions keep every row in its split; a fresh test set shows no row that was one before."""

import random
from typing import Any

import pytest

from apps.accounts.models import Team, User
from apps.core.errors import ApplicationError, Conflict, NotAllowed, NotFound
from apps.core.models import AuditEvent
from apps.experiments import rows
from apps.experiments.engine.derive import unseen_key
from apps.experiments.models import Dataset, DatasetVersion
from apps.experiments.services.datasets import (
    dataset_create,
    dataset_delete,
    dataset_rename,
    dataset_version_create,
)
from apps.experiments.services.derived_versions import dataset_fresh_test, dataset_version_derive
from apps.experiments.tests.world import experiment_of, pairs, version_of

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def by_input(version: DatasetVersion) -> dict[str, Any]:
    return {row.input: row for row in rows._all(version)}


def labelled(team: Team, actor: User, count: int = 60) -> DatasetVersion:
    dataset = dataset_create(actor=actor, team=team, name="Labels", split_seed=7)
    made = [(text, ("good", "bad", "odd")[number % 3]) for number, (text, _expected) in enumerate(pairs(count))]
    answer = {"format": "label", "labels": ["bad", "good", "odd"]}
    return dataset_version_create(actor=actor, dataset=dataset, pairs=made, answer=answer)


# --- deriving


def test_a_filtered_version_keeps_groups_and_splits_and_says_how_it_was_made(team: Team, bob: User) -> None:
    first = version_of(team, bob)
    made = dataset_version_derive(actor=bob, version=first, operation="keep_text", text="  ELM")
    before = by_input(first)
    assert 0 < made.row_count < first.row_count
    assert (made.number, made.parent, made.answer) == (2, first, first.answer)
    for text, row in by_input(made).items():
        assert "Elm" in text
        assert row == before[text]
    assert made.facts["derived"] == {"operation": "keep_text", "text": "  ELM", "from": 1, "rows_before": 60}
    assert AuditEvent.objects.filter(verb="dataset_version.derived").count() == 1
    rest = dataset_version_derive(actor=bob, version=first, operation="drop_text", text="elm")
    assert rest.row_count + made.row_count == 60


def test_labels_can_be_kept_alone(team: Team, bob: User) -> None:
    made = dataset_version_derive(actor=bob, version=labelled(team, bob), operation="keep_labels", labels=["odd"])
    assert {row.expected for row in rows._all(made)} == {"odd"}
    assert made.facts["labels"] == {"odd": 20}


def test_the_same_derivation_is_the_same_version_and_one_without_effect_is_refused(team: Team, bob: User) -> None:
    first = version_of(team, bob)
    made = dataset_version_derive(actor=bob, version=first, operation="keep_text", text="Oak")
    assert dataset_version_derive(actor=bob, version=first, operation="keep_text", text="oak") == made
    with pytest.raises(ApplicationError, match="would change no row"):
        dataset_version_derive(actor=bob, version=first, operation="drop_text", text="nowhere to be found")
    with pytest.raises(ApplicationError, match="No row would be left"):
        dataset_version_derive(actor=bob, version=first, operation="keep_text", text="nowhere to be found")
    assert first.dataset.versions.count() == 2


def test_rows_are_left_out_by_id_but_no_test_row_is(team: Team, bob: User) -> None:
    first = version_of(team, bob)
    gone = [row.id for row in rows.train_rows(first)[:3]]
    made = dataset_version_derive(actor=bob, version=first, operation="leave_out", ids=gone)
    assert made.row_count == 57
    assert not {row.id for row in rows._all(made)} & set(gone)
    with pytest.raises(NotFound, match="Test rows are not changed one by one"):
        dataset_version_derive(actor=bob, version=first, operation="leave_out", ids=rows.test_ids(first)[:1])


def test_a_mended_row_stays_in_its_place_and_split(team: Team, bob: User) -> None:
    first = version_of(team, bob)
    old = rows.validation_rows(first)[2]
    made = dataset_version_derive(
        actor=bob, version=first, operation="fix", row_id=old.id, new_input="Something else entirely", new_expected="{}"
    )
    place = [row.id for row in rows._all(first)].index(old.id)
    new = rows._all(made)[place]
    assert (new.input, new.expected, new.split, new.group_key) == (
        "Something else entirely", "{}", "validation", old.group_key,
    )  # fmt: skip
    assert [row for row in rows._all(made) if row.id != new.id] == [row for row in rows._all(first) if row.id != old.id]


def test_a_row_cannot_be_mended_into_one_of_another_split(team: Team, bob: User) -> None:
    first = version_of(team, bob)
    train, hidden = rows.train_rows(first)[0], next(row for row in rows._all(first) if row.split == "test")
    with pytest.raises(ApplicationError, match="almost the same as a row of another split"):
        dataset_version_derive(
            actor=bob, version=first, operation="fix", row_id=train.id,
            new_input=f"{hidden.input}.", new_expected="{}",
        )  # fmt: skip
    with pytest.raises(ApplicationError, match="Another row has this input"):
        dataset_version_derive(
            actor=bob, version=first, operation="fix", row_id=train.id, new_input=hidden.input, new_expected="{}"
        )


def test_added_rows_join_the_splits_of_rows_like_them(team: Team, bob: User) -> None:
    first = version_of(team, bob)
    edited = [(f"{row.input}.", "{}") for row in rows._all(first)[:20]]
    made = dataset_version_derive(
        actor=bob, version=first, operation="add", pairs=[*edited, (rows._all(first)[0].input, "{}"), ("  ", "{}")]
    )
    before, after = by_input(first), by_input(made)
    assert made.row_count == 80
    for text, _expected in edited:
        assert after[text].split == before[text[:-1]].split
    assert made.facts["left_out_counts"] == {"same input, another answer": 1, "empty input": 1}
    assert made.facts["rows_read"] == 60 + 22


def test_an_added_answer_must_be_one_of_the_format(team: Team, bob: User) -> None:
    first = labelled(team, bob)
    with pytest.raises(ApplicationError, match="Row 2: “great” is not one of the 3 labels"):
        dataset_version_derive(actor=bob, version=first, operation="add", pairs=[("x y z", "odd"), ("a b c", "great")])
    assert first.dataset.versions.count() == 1


# --- a fresh test set


def test_a_fresh_test_set_holds_no_group_that_was_tested_before(team: Team, bob: User) -> None:
    first = version_of(team, bob, count=600)
    seen = set(rows.test_ids(first))
    second = dataset_fresh_test(actor=bob, version=first)
    assert second.dataset != first.dataset
    assert second.dataset.name == "Made up, test set 2"
    assert second.dataset.split_seed != first.dataset.split_seed
    assert {row.id for row in rows._all(second)} == {row.id for row in rows._all(first)}
    assert len(rows.test_ids(second)) >= 50
    assert not set(rows.test_ids(second)) & seen
    third = dataset_fresh_test(actor=bob, version=second)
    assert third.dataset.name == "Made up, test set 3"
    assert not set(rows.test_ids(third)) & (seen | set(rows.test_ids(second)))
    beside = dataset_fresh_test(actor=bob, version=first)
    assert not set(rows.test_ids(beside)) & (seen | set(rows.test_ids(second)))


def test_a_later_version_of_a_fresh_test_set_keeps_its_splits(team: Team, bob: User) -> None:
    fresh = dataset_fresh_test(actor=bob, version=version_of(team, bob, count=600))
    edited = [(f"{row.input}.", row.expected) for row in rows._all(fresh)]
    later = dataset_version_create(actor=bob, dataset=fresh.dataset, pairs=edited)
    assert [row.split for row in rows._all(later)] == [row.split for row in rows._all(fresh)]


def test_too_few_rows_for_a_fresh_test_set_are_refused_with_the_numbers(team: Team, bob: User) -> None:
    first = version_of(team, bob)
    with pytest.raises(ApplicationError, match=r"would have \d+ rows; 50 are needed"):
        dataset_fresh_test(actor=bob, version=first)
    assert Dataset.objects.count() == 1


def test_a_salt_is_the_smallest_that_leaves_the_test_split() -> None:
    draw = random.Random(3)
    splits: dict[str, Any] = {}

    def place(key: str) -> Any:
        return splits.setdefault(key, draw.choice(["test", "test", "train"]))

    for number in range(50):
        key = unseen_key(f"g{number}", lambda _key: True, place)
        salt = int(key.partition("~")[2])
        assert place(key) != "test"
        assert all(place(f"g{number}~{smaller}") == "test" for smaller in range(1, salt))
    assert unseen_key("new", lambda _key: False, place) == "new"


# --- renaming, deleting, who may


def test_renaming_refuses_a_name_that_is_taken(team: Team, bob: User) -> None:
    first = version_of(team, bob).dataset
    other = version_of(team, bob, name="Other").dataset
    with pytest.raises(ApplicationError, match="called Other already"):
        dataset_rename(actor=bob, dataset=first, name=" Other ")
    dataset_rename(actor=bob, dataset=other, name="Third")
    dataset_rename(actor=bob, dataset=first, name="Other")
    assert set(Dataset.objects.values_list("name", flat=True)) == {"Other", "Third"}


def test_a_dataset_in_use_is_not_deleted_and_says_by_what(team: Team, bob: User) -> None:
    version = version_of(team, bob)
    experiment_of(version, bob)
    with pytest.raises(Conflict, match="used by 1 experiment"):
        dataset_delete(actor=bob, dataset=version.dataset)
    assert DatasetVersion.objects.count() == 1


def test_deleting_removes_versions_and_files(
    team: Team, bob: User, artifact_folder: Any, django_capture_on_commit_callbacks: Any
) -> None:
    first = version_of(team, bob)
    dataset_version_derive(actor=bob, version=first, operation="keep_text", text="elm")
    folder = artifact_folder / "datasets" / str(first.dataset.uid)
    assert folder.exists()
    with django_capture_on_commit_callbacks(execute=True):
        dataset_delete(actor=bob, dataset=first.dataset)
    assert not Dataset.objects.exists()
    assert not DatasetVersion.objects.exists()
    assert not folder.exists()
    assert AuditEvent.objects.filter(verb="dataset.deleted").count() == 1


def test_a_viewer_and_a_stranger_change_nothing(team: Team, bob: User, vera: User, charlie: User) -> None:
    first = version_of(team, bob)
    for person in (vera, charlie):
        with pytest.raises(NotAllowed):
            dataset_version_derive(actor=person, version=first, operation="keep_text", text="elm")
        with pytest.raises(NotAllowed):
            dataset_fresh_test(actor=person, version=first)
        with pytest.raises(NotAllowed):
            dataset_rename(actor=person, dataset=first.dataset, name="Mine")
        with pytest.raises(NotAllowed):
            dataset_delete(actor=person, dataset=first.dataset)
    assert Dataset.objects.get().name == "Made up"
    assert DatasetVersion.objects.count() == 1
