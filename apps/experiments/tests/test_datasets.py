"""A dataset version never changes; test rows leave it only for an evaluation whose look is recorded."""

from pathlib import Path

import pytest
from django.db import IntegrityError, transaction

from apps.accounts.models import Team, User
from apps.core.errors import ApplicationError, NotAllowed
from apps.core.models import AuditEvent
from apps.core.tests.factories import EvaluationFactory
from apps.evaluation.models import TestLook
from apps.experiments import rows
from apps.experiments.engine.rows import assemble, content_hash, from_parquet, to_parquet
from apps.experiments.models import DatasetVersion
from apps.experiments.services.datasets import dataset_create, dataset_version_create
from apps.experiments.tests.world import pairs, version_of

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def test_rows_survive_the_file_exactly() -> None:
    strange = [("tab\tand \N{SNOWMAN} “quotes”\u2028", '{"a":"é"}'), ("x" * 10_000, "0"), ("NUL \x00 inside", "1")]
    examples = assemble(strange + pairs(5), seed=1).examples
    assert from_parquet(to_parquet(examples)) == examples
    assert content_hash(from_parquet(to_parquet(examples))) == content_hash(examples)


def test_the_content_hash_covers_every_part_of_a_row() -> None:
    from dataclasses import replace

    examples = assemble(pairs(3), seed=1).examples
    whole = content_hash(examples)
    for name in ("id", "input", "expected", "group_key", "split"):
        changed = (replace(examples[0], **{name: "other"}), *examples[1:])
        assert content_hash(changed) != whole, name
    assert content_hash(examples[:2]) != whole
    assert content_hash(tuple(reversed(examples))) != whole


def test_counts_and_left_out_rows_are_recorded(team: Team, bob: User) -> None:
    dataset = dataset_create(actor=bob, team=team, name="Streets", split_seed=7)
    version = dataset_version_create(actor=bob, dataset=dataset, pairs=[*pairs(40), pairs(1)[0], ("", "x\x00")])
    assert version.row_count == 40
    assert (version.train_count, version.validation_count, version.test_count) == (
        len(rows.train_rows(version)),
        len(rows.validation_rows(version)),
        len(rows.test_ids(version)),
    )
    assert version.facts["rows_read"] == 42
    assert [(row["row"], row["reason"]) for row in version.facts["left_out"]] == [
        (41, "duplicate"),
        (42, "empty input"),
    ]


def test_the_same_content_is_the_same_version(team: Team, bob: User) -> None:
    first = version_of(team, bob)
    events = AuditEvent.objects.count()
    again = dataset_version_create(actor=bob, dataset=first.dataset, pairs=pairs(60))
    assert again == first
    assert AuditEvent.objects.count() == events
    more = dataset_version_create(actor=bob, dataset=first.dataset, pairs=pairs(61))
    assert (more.number, more.content_hash != first.content_hash) == (2, True)
    assert dataset_version_create(actor=bob, dataset=first.dataset, pairs=pairs(60)) == first


def test_a_later_version_keeps_the_splits_of_every_earlier_one(team: Team, bob: User) -> None:
    first = version_of(team, bob, count=30)
    dataset_version_create(actor=bob, dataset=first.dataset, pairs=pairs(80)[50:])
    edited = [(f"{text}.", expected) for text, expected in pairs(30)]
    third = dataset_version_create(actor=bob, dataset=first.dataset, pairs=edited)
    assert third.number == 3
    before = {row.input: row.split for row in rows._all(first)}
    assert {row.input: row.split for row in rows._all(third)} == {f"{text}.": split for text, split in before.items()}


def test_a_stored_version_cannot_be_made_again_under_another_number(team: Team, bob: User) -> None:
    first = version_of(team, bob)
    with pytest.raises(IntegrityError), transaction.atomic():
        DatasetVersion.objects.create(
            dataset=first.dataset, number=2, content_hash=first.content_hash, artifact="x",
            train_count=0, validation_count=0, test_count=0,
        )  # fmt: skip


def test_a_version_without_rows_is_refused(team: Team, bob: User) -> None:
    dataset = dataset_create(actor=bob, team=team, name="Empty", split_seed=7)
    with pytest.raises(ApplicationError, match="No row is left"):
        dataset_version_create(actor=bob, dataset=dataset, pairs=[("", "a"), ("b", " ")])
    assert not DatasetVersion.objects.exists()


def test_a_file_that_was_changed_is_refused(team: Team, bob: User, artifact_folder: Path) -> None:
    version = version_of(team, bob)
    path = artifact_folder / version.artifact
    examples = from_parquet(path.read_bytes())
    moved = [
        row if row.split != "test" else type(row)(row.id, row.input, row.expected, row.group_key, "train")
        for row in examples
    ]
    path.write_bytes(to_parquet(moved))
    rows._load.cache_clear()
    with pytest.raises(ValueError, match="does not hold what its dataset version recorded"):
        rows.train_rows(version)


def test_a_viewer_and_a_stranger_make_no_version(team: Team, bob: User, vera: User, charlie: User) -> None:
    dataset = dataset_create(actor=bob, team=team, name="Streets", split_seed=7)
    for person in (vera, charlie):
        with pytest.raises(NotAllowed):
            dataset_version_create(actor=person, dataset=dataset, pairs=pairs(5))
    assert not DatasetVersion.objects.exists()


# --- who sees which rows


def test_train_validation_and_test_share_no_row(team: Team, bob: User) -> None:
    version = version_of(team, bob)
    train = {row.id for row in rows.train_rows(version)}
    validation = {row.id for row in rows.validation_rows(version)}
    test = set(rows.test_ids(version))
    assert train
    assert validation
    assert test
    assert not train & validation
    assert not (train | validation) & test
    assert len(train | validation | test) == version.row_count


def test_a_page_shows_no_test_row(team: Team, bob: User) -> None:
    version = version_of(team, bob)
    shown, total = rows.page(version, split="validation", offset=1, limit=3)
    assert total == version.validation_count
    assert shown == list(rows.validation_rows(version))[1:4]
    with pytest.raises(NotAllowed):
        rows.page(version, split="test", offset=0, limit=10)


def test_test_rows_are_handed_out_only_after_a_recorded_look(team: Team, bob: User) -> None:
    version = version_of(team, bob)
    evaluation = EvaluationFactory.create(
        candidate__experiment__team=team, candidate__experiment__dataset_version=version,
        split="test", purpose="final", example_ids=rows.test_ids(version),
    )  # fmt: skip
    with pytest.raises(NotAllowed, match="whose look at them is recorded"):
        rows.rows_for_evaluation(evaluation)
    TestLook.objects.create(
        evaluation=evaluation, dataset_version=version, experiment=evaluation.experiment, actor=bob, decision="final"
    )
    assert set(rows.rows_for_evaluation(evaluation)) == set(rows.test_ids(version))


def test_an_evaluation_on_validation_gets_no_test_row_even_if_it_asks_for_one(team: Team, bob: User) -> None:
    version = version_of(team, bob)
    wanted = [row.id for row in rows.validation_rows(version)] + rows.test_ids(version)
    evaluation = EvaluationFactory.create(
        candidate__experiment__team=team, candidate__experiment__dataset_version=version, example_ids=wanted
    )
    assert set(rows.rows_for_evaluation(evaluation)) == {row.id for row in rows.validation_rows(version)}
