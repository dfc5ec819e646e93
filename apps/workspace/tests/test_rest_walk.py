"""By REST alone, over HTTP: from a file to a report."""

from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from django.test import Client

from apps.accounts.models import Team, User
from apps.core.models import JobStatus
from apps.experiments.models import DatasetImport, DatasetVersion, Upload
from apps.experiments.tasks import dataset_import_stage, upload_inspect
from apps.experiments.tests.upload_world import CSV
from apps.workspace.models import ExperimentRun
from apps.workspace.tests.test_drafts import quick, worked
from apps.workspace.tests.test_quickstart import demo

__all__ = ["demo", "quick"]

pytestmark = pytest.mark.django_db(transaction=True)


class Caller:
    """A client that signed in on the page and sends its cookies and the CSRF token, as a script would."""

    def __init__(self, address: str, user: User) -> None:
        signed_in = Client()
        signed_in.force_login(user)
        self.base = f"{address}/api/v1/"
        self.http = requests.Session()
        self.http.cookies.set("sessionid", signed_in.cookies["sessionid"].value)
        self.http.cookies.set("csrftoken", "a" * 32)
        self.http.headers["X-CSRFToken"] = "a" * 32

    def asked(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.http.request(method, urljoin(self.base, path), timeout=60, **more)

    def got(self, path: str, **query: Any) -> Any:
        return self._body(self.asked("GET", path, params=query), 200)

    def sent(self, path: str, body: Any = None, *, status: int, method: str = "POST") -> Any:
        return self._body(self.asked(method, path, json=body or {}), status)

    @staticmethod
    def _body(answer: requests.Response, status: int) -> Any:
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
def caller(live_server: Any, demo: tuple[Team, User], artifact_folder: Any) -> Caller:
    return Caller(live_server.url, demo[1])


def imported(caller: Caller) -> Any:
    """A file becomes a version of a new dataset."""
    answer = caller.asked("POST", "datasets", files={"file": ("mail.csv", CSV.encode())})
    assert answer.status_code == 202, answer.text
    address = answer.headers["Location"]
    early = caller.sent(f"{address}/import", {"name": "Mail"}, status=409)
    assert early["code"] == "conflict"
    upload_inspect(Upload.objects.get().pk)
    upload = caller.got(address)
    assert (upload["status"], upload["inspection"]["rows"]) == ("succeeded", 120)
    body = {
        "name": "Mail",
        "mapping": {"input": "text", "expected": "label"},
        "answer": {"format": "label", "labels": ["refund", "delivery", "praise"]},
    }
    wrong = caller.sent(f"{address}/import", {**body, "mapping": {"input": "nothing"}}, status=400)
    assert "input" in wrong["errors"]
    made = caller.sent(f"{address}/import", body, status=202)
    dataset_import_stage(DatasetImport.objects.get().pk)
    checked = caller.got(f"imports/{made['uid']}")
    assert (checked["status"], checked["report"]["accepted"]) == ("succeeded", 120)
    return caller.sent(f"imports/{made['uid']}/accept", status=201)


def test_from_a_file_to_a_report(caller: Caller, quick: None) -> None:
    version = imported(caller)
    assert version["answer"]["labels"] == ["refund", "delivery", "praise"]
    dataset = f"datasets/{version['dataset']}"
    assert caller.got("datasets")["results"] == [caller.got(dataset)]
    assert caller.got(f"{dataset}/versions/1") == version
    found = caller.got(f"{dataset}/versions/1/rows", split="train", q="refund")
    assert found["count"] > 0
    assert {row["split"] for row in found["results"]} == {"train"}
    assert caller.asked("GET", f"{dataset}/versions/1/rows", params={"split": "test"}).status_code == 403

    experiment = caller.sent(
        "experiments", {"dataset_version": version["uid"], "name": "Sorting mail", "question": "How?"}, status=201
    )
    address = f"experiments/{experiment['uid']}"
    assert (experiment["primary_metric"], experiment["state"]) == ("accuracy", "draft")
    assert (
        "unheard"
        in caller.sent(f"{address}/candidates", {"baselines": ["unheard"]}, status=400)["errors"]["baselines"][0]
    )
    added = caller.sent(f"{address}/candidates", {"baselines": ["most_frequent", "nearest"]}, status=201)
    assert [each["name"] for each in added] == ["Most frequent answer", "Nearest training example"]
    assert caller.sent(f"{address}/validate", status=202) == {"started": 2}
    assert caller.sent(f"{address}/final-test", status=400)["field"] == "reference"
    caller.sent(f"{address}/reference", {"candidate": added[1]["uid"]}, status=200, method="PUT")
    run = caller.sent(f"{address}/final-test", status=202)
    assert caller.asked("GET", f"{address}/report").status_code == 404

    assert worked(ExperimentRun.objects.get(uid=run["uid"])).status == JobStatus.SUCCEEDED
    report = caller.got(f"{address}/report")
    assert report["schema"] == "llmopt.report/1"
    assert len(caller.got(f"{address}/leaderboard")["candidates"]) == 2
    assert caller.got(address)["conclusion"]["text"] == report["conclusion"]["text"]
    tested = [each for each in caller.got("evaluations")["results"] if each["purpose"] == "final"]
    assert {each["status"] for each in tested} == {"succeeded"}
    assert caller.got(f"evaluations/{tested[0]['uid']}") == tested[0]
    clone = caller.sent(f"{address}/clone", status=201)
    assert (clone["version_number"], clone["state"]) == (2, "draft")
    assert {each["uid"] for each in caller.got("experiments")["results"]} == {experiment["uid"], clone["uid"]}


def test_a_write_without_the_csrf_token_is_refused(caller: Caller) -> None:
    del caller.http.headers["X-CSRFToken"]

    answer = caller.asked("POST", "datasets", files={"file": ("mail.csv", CSV.encode())})

    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not Upload.objects.exists()


def test_the_same_file_with_the_same_key_is_one_upload(caller: Caller) -> None:
    def send(content: str) -> requests.Response:
        file = {"file": ("mail.csv", content.encode())}
        return caller.asked("POST", "datasets", files=file, headers={"Idempotency-Key": "one"})

    first, again, other = send(CSV), send(CSV), send(CSV + "more,refund,c1\n")

    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
    assert first.json() == again.json()
    assert (again.headers["Idempotency-Replayed"], again.headers["Location"]) == ("true", first.headers["Location"])
    assert Upload.objects.count() == 1
    assert not DatasetVersion.objects.exists()
