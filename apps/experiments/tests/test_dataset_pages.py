"""Datasets derived, renamed, deleted and divided anew in the browser; and no row changes its split."""

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Team, User
from apps.core.tests import factories
from apps.experiments import rows
from apps.experiments.engine.near_duplicates import THRESHOLD, jaccard, shingles
from apps.experiments.engine.rows import Example
from apps.experiments.models import Dataset, DatasetVersion
from apps.experiments.services import derived_versions
from apps.experiments.services.datasets import dataset_create, dataset_version_create
from apps.experiments.tests.world import experiment_of, pairs, prompt_of, version_of

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def editor(client: Client, team: Team, bob: User) -> Client:
    client.force_login(bob)
    return client


@pytest.fixture
def version(team: Team, bob: User) -> DatasetVersion:
    return version_of(team, bob)


def url(version: DatasetVersion, below: str = "") -> str:
    dataset = version.dataset
    return f"/t/{dataset.team.slug}/datasets/{dataset.uid}/v/{version.number}/{below}"


def derived(client: Client, version: DatasetVersion, operation: str, **values: Any) -> tuple[DatasetVersion, str]:
    """The version that the form makes, and the page that a person then sees."""
    answer = client.post(url(version, "derive/"), {"operation": operation, **values}, follow=True)
    assert answer.redirect_chain, answer.content.decode()
    made = version.dataset.versions.order_by("-number").first()
    assert made is not None
    assert answer.redirect_chain[-1][0] == url(made)
    return made, answer.content.decode()


def refused(client: Client, version: DatasetVersion, operation: str, **values: Any) -> str:
    """What a person reads when no version is made."""
    before = DatasetVersion.objects.count()
    answer = client.post(url(version, "derive/"), {"operation": operation, **values})
    assert answer.status_code == 422
    assert DatasetVersion.objects.count() == before
    return str(answer.content.decode())


def splits(version: DatasetVersion) -> dict[str, str]:
    return {row.input: row.split for row in rows._all(version)}


def of_split(version: DatasetVersion, split: str) -> list[Example]:
    return [row for row in rows._all(version) if row.split == split]


# --- filter, dedupe, fix, add


def test_filtered_rows_keep_their_splits_and_the_origin_says_how(editor: Client, version: DatasetVersion) -> None:
    made, page = derived(editor, version, "keep_text", text="elm")
    assert "Version 2 is ready. Every row kept its split." in page
    assert splits(made).items() <= splits(version).items()
    about = editor.get(url(made, "about/")).content.decode()
    assert "Rows of version 1 that contain “elm”" in about
    assert "would change no row" in refused(editor, version, "drop_text", text="nowhere to be found")
    assert "No row would be left" in refused(editor, version, "keep_text", text="nowhere to be found")
    assert "Say which text to look for" in refused(editor, version, "keep_text", text=" ")
    assert "nowhere" in refused(editor, version, "keep_text", text="nowhere")  # what was typed stays


def test_labels_are_chosen_from_those_of_the_dataset(editor: Client, team: Team, bob: User) -> None:
    dataset = dataset_create(actor=bob, team=team, name="Labels", split_seed=7)
    made = [(text, ("good", "bad")[number % 2]) for number, (text, _expected) in enumerate(pairs(20))]
    answer = {"format": "label", "labels": ["bad", "good"]}
    first = dataset_version_create(actor=bob, dataset=dataset, pairs=made, answer=answer)
    kept, _page = derived(editor, first, "keep_labels", labels=["good"])
    assert kept.row_count == 10
    assert splits(kept).items() <= splits(first).items()
    assert "Choose at least one label" in refused(editor, first, "keep_labels")
    assert "not one of the available choices" in refused(editor, first, "keep_labels", labels=["odd"])
    assert "Row 1: “odd” is not one of the 2 labels" in refused(editor, first, "add", pairs="a new one\todd")


def test_of_rows_that_are_almost_the_same_the_first_is_kept(editor: Client, team: Team, bob: User) -> None:
    dataset = dataset_create(actor=bob, team=team, name="Twice", split_seed=7)
    twice = [*pairs(20), *((f"{text}!", expected) for text, expected in pairs(8))]
    first = dataset_version_create(actor=bob, dataset=dataset, pairs=twice)
    made, _page = derived(editor, first, "one_of_alike")
    assert list(splits(made)) == [text for text, _expected in pairs(20)]
    assert splits(made).items() <= splits(first).items()
    assert "Version 1 without 8 rows that were almost the same" in editor.get(url(made, "about/")).content.decode()
    assert "No two rows are almost the same" in refused(editor, made, "one_of_alike")


def test_a_row_is_mended_or_left_out_on_its_own_page(editor: Client, version: DatasetVersion) -> None:
    row, hidden = rows.validation_rows(version)[0], of_split(version, "test")[0]
    address = url(version, f"rows/{row.id}/")
    leak = editor.post(address, {"input": f"{hidden.input}!", "expected": "{}"})
    assert leak.status_code == 422
    assert "almost the same as a row of another split" in leak.content.decode()
    taken = editor.post(address, {"input": hidden.input.upper(), "expected": "{}"})
    assert "Another row has this input already" in taken.content.decode()
    broken = editor.post(address, {"input": row.input, "expected": "no object"})
    assert "must be one JSON object" in broken.content.decode()
    assert DatasetVersion.objects.count() == 1

    page = editor.post(address, {"input": "Something new", "expected": row.expected}, follow=True)
    mended = page.context["version"]
    assert (mended.number, splits(mended)["Something new"]) == (2, "validation")
    assert row.input not in splits(mended)
    page = editor.post(address, {"do": "leave_out"}, follow=True)
    left = page.context["version"]
    assert (left.number, left.row_count) == (3, version.row_count - 1)
    assert "Version 1 without 1 chosen row" in editor.get(url(left, "about/")).content.decode()
    for body in ({"do": "leave_out"}, {"input": "x", "expected": "{}"}):
        assert editor.post(url(version, f"rows/{hidden.id}/"), body).status_code == 404


def test_no_added_row_that_is_like_a_test_row_is_trained_on(editor: Client, version: DatasetVersion) -> None:
    """However it is written: equal, in other case, nearly equal, or nearly equal to one that is nearly equal."""
    hidden = of_split(version, "test")[:4]
    link = f"{hidden[2].input}, and"  # the one after it is like this, and not like the test row
    tried = [
        hidden[0].input, f"  {hidden[0].input.upper()}  ", f"{hidden[1].input}.", f"{hidden[1].input}!",
        link, f"{link} mor", hidden[3].input.replace("Street", "Stret"),
    ]  # fmt: skip
    assert jaccard(shingles(tried[5]), shingles(hidden[2].input)) < THRESHOLD
    text = "\n".join(f"{one}\t{{}}" for one in [*tried, "quite another text than any of these"])
    made, _page = derived(editor, version, "add", pairs=text)

    assert splits(version).items() <= splits(made).items()
    new = {text: split for text, split in splits(made).items() if text not in splits(version)}
    assert new.pop("quite another text than any of these")
    assert len(new) == 5
    assert set(new.values()) == {"test"}
    assert rows.train_rows_like_test_rows(made) == ()
    problems = editor.get(url(made, "problems/")).content.decode()
    assert "same input, another answer" in problems
    assert hidden[0].input not in problems


def test_a_test_row_that_was_left_out_comes_back_as_one(editor: Client, version: DatasetVersion) -> None:
    hidden = of_split(version, "test")[0]
    without, _page = derived(editor, version, "drop_text", text=hidden.input)
    assert hidden.input not in splits(without)
    back, _page = derived(
        editor, without, "add", pairs=f"{hidden.input}\t{hidden.expected}\n{hidden.input}!\t{hidden.expected}"
    )
    assert splits(back)[hidden.input] == "test"
    assert splits(back)[f"{hidden.input}!"] == "test"
    # The first version has the same rows in another order, and every version the same splits.
    assert splits(version).items() <= splits(back).items()


def test_a_row_between_two_splits_is_left_out_with_its_reason(editor: Client, team: Team, bob: User) -> None:
    """Nearly the same as a training row and as a test row, which are not nearly the same as each other."""
    words = [f"word{number}" for number in range(40)]
    dataset = dataset_create(actor=bob, team=team, name="Between", split_seed=7)
    ends = [" ".join(words), " ".join([*words[:34], *(f"other{n}" for n in range(6))])]
    for seed in range(100):
        dataset.split_seed = seed
        dataset.save(update_fields=["split_seed"])
        first = dataset_version_create(actor=bob, dataset=dataset, pairs=[(text, "a") for text in ends])
        if sorted(splits(first).values()) == ["test", "train"]:
            break
        first.delete()
    between = " ".join([*words[:37], *(f"other{n}" for n in range(3))])
    made, _page = derived(editor, first, "add", pairs=f"{between}\ta\nsomething else\ta")
    assert between not in splits(made)
    assert "almost the same as earlier rows in different splits" in editor.get(url(made, "problems/")).content.decode()


def test_rows_to_add_are_refused_with_their_line(editor: Client, version: DatasetVersion) -> None:
    assert "Line 2 has no tab" in refused(editor, version, "add", pairs="a\t{}\nb {}")
    assert "Give at least one row" in refused(editor, version, "add", pairs="\n  \n")
    assert "Row 2: " in refused(editor, version, "add", pairs="a\t{}\nb\tno object")
    many = "\n".join(f"row {number}\t{{}}" for number in range(1001))
    assert "At most 1,000 rows can be added here; these are 1,001." in refused(editor, version, "add", pairs=many)
    assert "would change no row" in refused(editor, version, "add", pairs="\t".join(pairs(1)[0]))


# --- a fresh test set


def test_a_fresh_test_set_is_a_new_dataset_without_a_tested_row(
    editor: Client, version: DatasetVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = editor.post(url(version, "fresh-test/"), follow=True).content.decode()
    assert "50 are needed for a comparison to show anything" in few
    assert Dataset.objects.count() == 1

    monkeypatch.setattr(derived_versions, "LEAST_TEST_ROWS", 3)
    answer = editor.post(url(version, "fresh-test/"), follow=True)
    made = answer.context["version"]
    assert "Made up, test set 2 has a test set with no row that was tested before." in answer.content.decode()
    tested = {row.input for row in of_split(version, "test")}
    assert not tested & {row.input for row in of_split(made, "test")}
    assert set(splits(made)) == set(splits(version))
    assert "Made up v1, divided anew" in editor.get(url(made, "about/")).content.decode()


# --- rename, delete, where it is used


def settings_of(version: DatasetVersion) -> str:
    return f"/t/{version.dataset.team.slug}/datasets/{version.dataset.uid}/settings/"


def test_a_dataset_is_renamed_and_a_name_that_is_taken_stays_typed(
    editor: Client, team: Team, bob: User, version: DatasetVersion
) -> None:
    version_of(team, bob, name="Other")
    taken = editor.post(settings_of(version), {"name": "Other"})
    assert taken.status_code == 422
    assert "has a dataset called Other already" in taken.content.decode()
    assert 'value="Other"' in taken.content.decode()
    done = editor.post(settings_of(version), {"name": " Mail "}, follow=True).content.decode()
    assert "The dataset is now called Mail." in done
    assert Dataset.objects.filter(name="Mail").count() == 1


def test_a_dataset_that_nothing_needs_is_deleted(editor: Client, team: Team, version: DatasetVersion) -> None:
    assert "Nothing depends on it." in editor.get(settings_of(version)).content.decode()
    page = editor.post(settings_of(version).replace("settings", "delete"), follow=True).content.decode()
    assert "The dataset Made up was deleted." in page
    assert "No dataset yet" in page


def test_what_depends_on_a_dataset_is_named_training_too(
    editor: Client, team: Team, bob: User, version: DatasetVersion
) -> None:
    experiment_of(version, bob)
    run = factories.TrainingRunFactory.create(team=team, created_by=bob, dataset_version=version, name="First try")
    page = editor.get(settings_of(version)).content.decode()
    assert "it cannot be deleted: 1 experiment, 1 training run." in page
    assert "Delete dataset" not in page
    answer = editor.post(settings_of(version).replace("settings", "delete"), follow=True).content.decode()
    assert "Made up is kept: it is used by 1 experiment, 1 training run." in answer
    # The page takes the list of runs from the address of its part, which is a page of its own.
    for address, holder in (
        (url(version, "training/"), url(version, "about/")),
        (settings_of(version).replace("settings", "training"), settings_of(version)),
    ):
        assert f'hx-get="{address}?part=panel"' in editor.get(holder).content.decode()
        part = editor.get(f"{address}?part=panel", **HTMX).content.decode()
        assert f'<a href="/t/{team.slug}/training/{run.uid}/">First try</a>' in part
        assert "<html" not in part
        assert "First try" in editor.get(address).content.decode()
    later, _page = derived(editor, version, "keep_text", text="elm")
    assert "No training run uses it." in editor.get(url(later, "training/")).content.decode()


def test_training_with_a_prompt_is_listed_and_keeps_it(editor: Client, team: Team, bob: User) -> None:
    prompt_version = prompt_of(team, bob)
    run = factories.TrainingRunFactory.create(team=team, created_by=bob, prompt_version=prompt_version, name="Tuned")
    factories.PreflightFactory.create(team=team, created_by=bob, prompt_version=prompt_version)
    base = f"/t/{team.slug}/prompts/{prompt_version.prompt.uid}/"
    part = editor.get(f"{base}training/?part=panel", **HTMX).content.decode()
    assert f'hx-get="{base}training/?part=panel"' in editor.get(base).content.decode()
    assert f"/t/{team.slug}/training/{run.uid}/" in part
    assert f"/t/{team.slug}/models/{run.language_model.uid}/" in part
    assert "Check before a run" in part
    page = editor.get(f"{base}settings/").content.decode()
    assert "it cannot be deleted: " in page
    assert "1 training run" in page
    assert "Delete prompt" not in page


# --- who may


def test_another_team_finds_nothing_and_a_viewer_changes_nothing(
    client: Client, version: DatasetVersion, other_team: Team, vera: User, charlie: User
) -> None:
    row = rows.train_rows(version)[0]
    posts = [
        (url(version, "derive/"), {"operation": "keep_text", "text": "elm"}),
        (url(version, "fresh-test/"), {}),
        (url(version, f"rows/{row.id}/"), {"do": "leave_out"}),
        (url(version, f"rows/{row.id}/"), {"input": "x", "expected": "{}"}),
        (settings_of(version), {"name": "Mine"}),
        (settings_of(version).replace("settings", "delete"), {}),
    ]
    for person, status in ((vera, 403), (charlie, 404)):
        client.force_login(person)
        for address, body in posts:
            assert client.post(address, body).status_code == status, address
    client.force_login(charlie)
    for below in ("", "figures/", "problems/", "about/", "training/", "derive/", f"rows/{row.id}/"):
        foreign = url(version, below).replace(version.dataset.team.slug, other_team.slug)
        assert client.get(foreign).status_code == 404
        assert client.get(url(version, below)).status_code == 404
    assert DatasetVersion.objects.count() == 1
    assert Dataset.objects.get().name == "Made up"
    assert version.facts == DatasetVersion.objects.get().facts
