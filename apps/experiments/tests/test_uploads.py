"""From a file to a dataset version, pressed as a person does."""

import csv
import io
import json

import pytest
from django.test import Client

from apps.accounts.models import Team, User
from apps.core.models import AuditEvent, JobStatus
from apps.core.uploads.quarantine import quarantine_folder, quarantined_path
from apps.experiments import rows
from apps.experiments.models import Dataset, DatasetImport, DatasetVersion, Upload
from apps.experiments.tests.upload_world import CHOICES, CSV, SHARES, downloaded, inspected, send, staged
from apps.experiments.tests.world import version_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob_sends(client: Client, bob: User) -> Client:
    client.force_login(bob)
    return client


def accepted(client: Client, team: Team, made: DatasetImport) -> DatasetVersion:
    """The version that *Create dataset version* makes."""
    client.post(f"/t/{team.slug}/imports/{made.uid}/accept/")
    made.refresh_from_db()
    assert made.dataset_version is not None
    return made.dataset_version


def test_a_csv_becomes_a_dataset(bob_sends: Client, team: Team) -> None:
    upload = inspected(bob_sends, team, CSV.encode())

    assert upload.status == JobStatus.SUCCEEDED, upload.error
    assert upload.inspection["rows"] == 120
    page = bob_sends.get(f"/t/{team.slug}/uploads/{upload.uid}/").content.decode()
    assert "message number 0 about refund" in page
    made = staged(bob_sends, team, upload)
    assert made.status == JobStatus.SUCCEEDED, made.error
    assert sum(made.report["splits"].values()) == made.report["accepted"] == 120
    answer = bob_sends.post(f"/t/{team.slug}/imports/{made.uid}/accept/")
    made.refresh_from_db()
    version = made.dataset_version
    assert version is not None
    assert answer.url == f"/t/{team.slug}/datasets/{version.dataset.uid}/v/1/"
    assert version.row_count == 120
    assert version.answer == {"format": "label", "labels": ["refund", "delivery", "praise"]}
    assert bob_sends.get(answer.url).status_code == 200
    verbs = AuditEvent.objects.filter(team=team).order_by("id").values_list("verb", flat=True)
    assert [verb for verb in verbs if verb.startswith(("upload", "dataset"))] == [
        "upload.received",
        "upload.inspected",
        "dataset_import.created",
        "dataset_import.staged",
        "dataset.created",
        "dataset_version.created",
        "dataset_import.accepted",
    ]


def test_inputs_of_one_template_are_told_on_the_import_and_on_its_version(bob_sends: Client, team: Team) -> None:
    question = "Read the message of a customer below and say whether it asks for money back or delivery or praise"
    content = CSV + "".join(f"{question} {n},{('refund', 'praise')[n % 2]},d{n}\n" for n in range(40))
    made = staged(bob_sends, team, inspected(bob_sends, team, content.encode()))
    assert made.status == JobStatus.SUCCEEDED, made.error
    told = f"40 of {made.report['accepted']} inputs are almost the same"

    assert told in bob_sends.get(f"/t/{team.slug}/imports/{made.uid}/").content.decode()
    version = accepted(bob_sends, team, made)
    page = f"/t/{team.slug}/datasets/{version.dataset.uid}/v/1/"
    assert told in bob_sends.get(page).content.decode()


def test_pairs_that_were_not_compared_are_told_on_the_import_and_on_its_version(bob_sends: Client, team: Team) -> None:
    made = staged(bob_sends, team, inspected(bob_sends, team, CSV.encode()))
    address = f"/t/{team.slug}/imports/{made.uid}/"
    assert "not compared" not in bob_sends.get(address).content.decode()
    made.report["pairs_not_compared"] = 1234
    made.save(update_fields=["report"])

    version = accepted(bob_sends, team, made)

    told = "Very many inputs resemble each other, and 1,234 pairs of them were not compared."
    assert told in bob_sends.get(address).content.decode()
    assert told in bob_sends.get(f"/t/{team.slug}/datasets/{version.dataset.uid}/v/1/").content.decode()


def test_pressing_create_twice_makes_one_version(bob_sends: Client, team: Team) -> None:
    made = staged(bob_sends, team, inspected(bob_sends, team, CSV.encode()))

    first, second = accepted(bob_sends, team, made), accepted(bob_sends, team, made)

    assert first == second
    assert DatasetVersion.objects.count() == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("windows.csv", CSV.replace("praise", "Gru\u00df").encode("cp1252")),
        ("table.tsv", CSV.replace(",", "\t").encode()),
        ("wide.csv", CSV.encode("utf-16")),
        ("list.json", json.dumps(list(csv.DictReader(io.StringIO(CSV)))).encode()),
        ("lines.jsonl", "\n".join(json.dumps(row) for row in csv.DictReader(io.StringIO(CSV))).encode()),
    ],
)
def test_every_form_of_a_table_is_read(bob_sends: Client, team: Team, name: str, content: bytes) -> None:
    upload = inspected(bob_sends, team, content, name)

    assert upload.status == JobStatus.SUCCEEDED, upload.error
    assert (upload.inspection["rows"], upload.inspection["usable"]) == (120, 120)
    made = staged(bob_sends, team, upload, labels="")
    assert made.status == JobStatus.SUCCEEDED, made.error
    assert made.report["accepted"] == 120
    assert len(made.answer["labels"]) == 3  # taken from the column, since nobody named any


def test_a_chat_is_recognised_and_needs_no_columns(bob_sends: Client, team: Team) -> None:
    chats = [
        {
            "messages": [
                {"role": "user", "content": f"{n * 7919 % 1000} {n}?"},
                {"role": "assistant", "content": f"a{n}"},
            ]
        }
        for n in range(80)
    ]
    upload = inspected(bob_sends, team, "\n".join(map(json.dumps, chats)).encode(), "chat.jsonl")

    page = bob_sends.get(f"/t/{team.slug}/uploads/{upload.uid}/").content.decode()
    answer = bob_sends.post(f"/t/{team.slug}/uploads/{upload.uid}/", {**SHARES, "name": "Chat", "format": "text"})

    assert "The rows are conversations" in page
    assert answer.status_code == 302
    assert DatasetImport.objects.get().mapping["shape"] == "chat"


def test_other_columns_show_other_first_rows(bob_sends: Client, team: Team) -> None:
    upload = inspected(bob_sends, team, CSV.encode())

    part = bob_sends.get(
        f"/t/{team.slug}/uploads/{upload.uid}/",
        {"part": "examples", "input": "customer", "expected": "text", "keep": ["label"]},
        headers={"HX-Request": "true"},
    ).content.decode()

    assert "<html" not in part
    assert part.index(">c0<") < part.index("message number 0") < part.index(">label</span>")


def test_shares_that_a_person_chose_hold_for_every_version(bob_sends: Client, team: Team) -> None:
    upload = inspected(bob_sends, team, CSV.encode())
    chosen = {"validation_percent": "10", "test_percent": "40", "group": ""}
    first = accepted(bob_sends, team, staged(bob_sends, team, upload, **chosen))
    kept = {row.input: row.split for row in rows._all(first)}

    assert first.dataset.probabilities == (0.5, 0.1, 0.4)
    assert 35 <= first.test_count <= 61  # 120 rows: 48 and two and a half standard deviations
    about = bob_sends.get(f"/t/{team.slug}/datasets/{first.dataset.uid}/v/1/about/").content.decode()
    assert "50 % train, 10 % validation, 40 % test" in about

    more = CSV + "".join(f"another letter {n * 31337 % 9973} of its own,praise,d{n}\n" for n in range(80))
    made = staged(bob_sends, team, inspected(bob_sends, team, more.encode()), dataset=str(first.dataset.uid))
    second = accepted(bob_sends, team, made)

    assert made.probabilities == (0.5, 0.1, 0.4)  # the form said 15 and 15, and the dataset had decided
    assert {
        text: split for text, split in ((row.input, row.split) for row in rows._all(second)) if text in kept
    } == kept
    assert second.test_count > 200 * 0.25


@pytest.mark.parametrize("percent", ["4", "46", "", "many"])
def test_shares_out_of_bounds_are_refused_at_their_field(bob_sends: Client, team: Team, percent: str) -> None:
    upload = inspected(bob_sends, team, CSV.encode())

    answer = bob_sends.post(f"/t/{team.slug}/uploads/{upload.uid}/", {**CHOICES, "test_percent": percent})

    assert answer.status_code == 422
    assert answer.context["form"].errors.keys() == {"test_percent"}
    assert not DatasetImport.objects.exists()


def test_a_version_is_added_to_a_dataset_and_keeps_its_splits(bob_sends: Client, team: Team) -> None:
    first = accepted(bob_sends, team, staged(bob_sends, team, inspected(bob_sends, team, CSV.encode())))
    more = CSV + "one more message about a lost parcel,delivery,c1\n"

    upload = inspected(bob_sends, team, more.encode())
    made = staged(bob_sends, team, upload, dataset=str(first.dataset.uid))
    second = accepted(bob_sends, team, made)

    assert second.dataset == first.dataset
    assert (second.number, second.row_count, second.parent) == (2, 121, first)
    assert Dataset.objects.count() == 1


def test_the_groups_that_a_column_names_stay_together(bob_sends: Client, team: Team) -> None:
    made = staged(bob_sends, team, inspected(bob_sends, team, CSV.encode()), group="customer", keep=["customer"])
    version = accepted(bob_sends, team, made)

    splits: dict[str, set[str]] = {}
    for row in rows.reader(version).examples():
        splits.setdefault(row.columns["customer"], set()).add(row.split)
    assert len(splits) == 20
    assert all(len(found) == 1 for found in splits.values())


def test_problems_are_counted_shown_and_downloaded_without_formulas(bob_sends: Client, team: Team) -> None:
    broken = CSV + '=cmd|calc,,c1\n,refund,c2\n"=1+2",other,c3\n'
    upload = inspected(bob_sends, team, broken.encode())
    made = staged(bob_sends, team, upload)
    assert made.status == JobStatus.SUCCEEDED, made.error

    page = bob_sends.get(f"/t/{team.slug}/imports/{made.uid}/").content.decode()
    answer = bob_sends.get(f"/t/{team.slug}/imports/{made.uid}/problems.csv")
    sheet = downloaded(answer)

    assert sum(made.report["left_out"].values()) == 3
    assert "The expected answer is empty." in page
    cells = [cell for row in csv.reader(io.StringIO(sheet)) for cell in row]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] == []
    assert any("=cmd|calc" in cell for cell in cells)


def test_a_small_test_says_what_it_cannot_show(bob_sends: Client, team: Team) -> None:
    made = staged(bob_sends, team, inspected(bob_sends, team, CSV.encode()))

    page = bob_sends.get(f"/t/{team.slug}/imports/{made.uid}/").content.decode()

    assert made.report["splits"]["test"] < 50
    assert "The test will be coarse" in page
    assert "percentage points" in page


def test_the_form_keeps_what_was_chosen_and_names_what_is_missing(bob_sends: Client, team: Team) -> None:
    version_of(team, User.objects.get(email="bob@example.com"), name="Taken")
    upload = inspected(bob_sends, team, CSV.encode())
    url = f"/t/{team.slug}/uploads/{upload.uid}/"

    same = bob_sends.post(url, {**CHOICES, "expected": "text"})
    nameless = bob_sends.post(url, {**CHOICES, "name": " "})
    taken = bob_sends.post(url, {**CHOICES, "name": "Taken"})

    assert [answer.status_code for answer in (same, nameless, taken)] == [422, 422, 422]
    assert "must be two columns" in same.content.decode()
    assert "Give the new dataset a name" in nameless.content.decode()
    assert "has a dataset called Taken already" in taken.content.decode()
    assert DatasetImport.objects.count() == 0


def test_labels_that_do_not_repeat_are_no_labels(bob_sends: Client, team: Team) -> None:
    upload = inspected(bob_sends, team, CSV.encode())

    made = staged(bob_sends, team, upload, expected="customer", input="text", labels="")
    assert made.status == JobStatus.SUCCEEDED  # twenty customers, six rows each: they are labels
    made = staged(bob_sends, team, upload, input="label", expected="text", labels="", name="Texts")

    assert made.status == JobStatus.FAILED
    assert "no small set of labels" in made.error
    page = bob_sends.get(f"/t/{team.slug}/imports/{made.uid}/").content.decode()
    assert made.error in page


def test_the_answer_comes_before_anybody_looks_at_the_file(bob_sends: Client, team: Team) -> None:
    answer = send(bob_sends, team, CSV.encode())

    upload = Upload.objects.get()
    assert answer.url == f"/t/{team.slug}/uploads/{upload.uid}/"
    assert upload.status == JobStatus.QUEUED
    assert quarantined_path(upload.stored_name).stat().st_mode & 0o777 == 0o600
    assert quarantine_folder().stat().st_mode & 0o777 == 0o700
    assert "Waiting" in bob_sends.get(answer.url).content.decode()


def test_a_script_is_told_where_to_go(bob_sends: Client, team: Team) -> None:
    answer = send(bob_sends, team, CSV.encode(), headers={"Accept": "application/json"})
    nothing = bob_sends.post(f"/t/{team.slug}/datasets/new/", headers={"Accept": "application/json"})

    assert answer.json()["location"] == f"/t/{team.slug}/uploads/{Upload.objects.get().uid}/"
    assert nothing.status_code == 422
    assert nothing.json()["error"]


def test_accepted_rows_are_taken_away_without_test_rows_and_without_formulas(bob_sends: Client, team: Team) -> None:
    content = CSV.replace("message number", "=message number")
    version = accepted(
        bob_sends, team, staged(bob_sends, team, inspected(bob_sends, team, content.encode()), keep="customer")
    )
    page = f"/t/{team.slug}/datasets/{version.dataset.uid}/v/1/"
    assert f'href="{page}rows.csv"' in bob_sends.get(page).content.decode()

    sheet = list(csv.DictReader(io.StringIO(downloaded(bob_sends.get(f"{page}rows.csv")))))
    lines = [json.loads(line) for line in downloaded(bob_sends.get(f"{page}rows.jsonl")).splitlines()]

    open_rows = [row for row in rows._all(version) if row.split != "test"]
    assert len(sheet) == len(lines) == version.train_count + version.validation_count == len(open_rows)
    assert {row["split"] for row in sheet} == {"train", "validation"}
    assert {row["input"][:9] for row in sheet} == {"'=message"}
    assert {(line["input"], line["expected"], line["columns"]["customer"]) for line in lines} == {
        (row.input, row.expected, row.columns["customer"]) for row in open_rows
    }
