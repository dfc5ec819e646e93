"""By REST alone, over HTTP, with nothing but the OpenAPI document: from a file to a report, and to a trained model."""

from typing import Any

import pytest
import requests
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.billing.models import AlertDelivery, AlertDestination
from apps.billing.tests.alert_world import raised
from apps.core import jobs
from apps.core.models import JobStatus
from apps.core.tests.factories import PASSWORD, CommercialModelFactory, LanguageModelFactory
from apps.core.tests.rest import RECORDS, Api
from apps.experiments.models import DatasetImport, DatasetVersion, Experiment, Upload
from apps.experiments.tasks import dataset_import_stage, upload_inspect
from apps.experiments.tests.upload_world import CSV, csv_of
from apps.providers.models import LanguageModel
from apps.training.models import Preflight, TrainingRun
from apps.training.tests.plans import SHORT
from apps.training.tests.test_training_new import MEASURED
from apps.workspace.models import ExperimentRun
from apps.workspace.tests.test_drafts import quick, worked
from apps.workspace.tests.test_quickstart import demo

__all__ = ["demo", "quick"]

pytestmark = pytest.mark.django_db(transaction=True)

PROMPT = [{"role": "user", "content": "Which topic? {{ input }}"}]


def signed_in(address: str, email: str, password: str) -> requests.Session:
    """What a script does first: it fills in the sign-in page, and from then on sends its token as a header."""
    http = requests.Session()
    http.get(f"{address}/sign-in/", timeout=60)
    form = {"email": email, "password": password, "csrfmiddlewaretoken": http.cookies["csrftoken"]}
    answer = http.post(f"{address}/sign-in/", form, timeout=60)
    assert answer.status_code == 200, answer.text
    http.headers["X-CSRFToken"] = http.cookies["csrftoken"]
    return http


def bearer(text: str) -> requests.Session:
    """What a script does that has a key or a token."""
    http = requests.Session()
    http.headers["Authorization"] = f"Bearer {text}"
    return http


@pytest.fixture
def api(live_server: Any, demo: tuple[Team, User], artifact_folder: Any, settings: Any) -> Api:
    settings.VAR_DIR = artifact_folder.parent
    user = demo[1]
    user.set_password(PASSWORD)
    user.save()
    return Api(live_server.url, signed_in(live_server.url, user.email, PASSWORD))


def imported(api: Api, rows: int = 120) -> Any:
    """A file becomes a version of a new dataset."""
    sent = api.do("dataset_upload", files={"file": ("mail.csv", csv_of(rows).encode())})
    uid = sent["uid"]
    assert api.refused("upload_import", 409, {"name": "Mail"}, uid=uid)["code"] == "conflict"
    upload_inspect(Upload.objects.get().pk)
    upload = api.do("upload", uid=uid)
    assert (upload["status"], upload["inspection"]["rows"]) == ("succeeded", rows)
    body = {
        "name": "Mail",
        "mapping": {"input": "text", "expected": "label"},
        "answer": {"format": "label", "labels": ["refund", "delivery", "praise"]},
        "test_percent": 30,
    }
    wrong = api.refused("upload_import", 400, {**body, "mapping": {"input": "nothing"}}, uid=uid)
    assert "input" in wrong["errors"]
    made = api.do("upload_import", body, uid=uid)
    dataset_import_stage(DatasetImport.objects.get().pk)
    checked = api.do("import", uid=made["uid"])
    assert (checked["status"], checked["report"]["accepted"]) == ("succeeded", rows)
    return api.do("import_accept", uid=made["uid"])


@pytest.mark.slow
def test_the_whole_path_is_walked_by_the_document_alone(api: Api, quick: None, demo: tuple[Team, User]) -> None:
    version = imported(api, 450)
    _datasets(api, version)
    prompt = _prompts(api, version)
    model = LanguageModelFactory.create(team=demo[0], name="Tiny", artifact="models/tiny")
    report = _experiment(api, version)
    _plan(api, version)
    _training(api, version, prompt, model)
    _provider_keys(api)
    _money(api)
    _keys_and_tokens(api, demo[1].email)
    assert report["conclusion"]["text"]
    for name in ("health", "health_ready"):
        api.called.add(name)  # tried by their own tests: this machine may be no healthy installation

    # The next test deletes a dataset.
    assert api.operations.keys() - api.called == {"dataset_delete"}
    if RECORDS:
        api.write_examples()


def _datasets(api: Api, version: Any) -> None:
    place = {"uid": version["dataset"], "number": 1}
    assert version["answer"]["labels"] == ["refund", "delivery", "praise"]
    assert api.do("datasets")["results"] == [api.do("dataset", uid=version["dataset"])]
    assert api.do("dataset_version", **place) == version
    found = api.do("dataset_rows", query={"q": "refund", "limit": 3}, **place)
    assert {row["split"] for row in found["results"]} == {"train"}
    assert len(found["results"]) == 3 < found["count"]
    further = api.http.get(found["next"], timeout=60).json()
    assert {row["id"] for row in further["results"]}.isdisjoint(row["id"] for row in found["results"])
    assert api.http.get(further["previous"], timeout=60).json() == found
    closed = api.http.get(f"{api.address}/api/v1/datasets/{place['uid']}/versions/1/rows?split=test", timeout=60)
    assert closed.status_code == 403
    derived = api.do("dataset_version_derive", {"operation": "leave_out", "ids": [found["results"][0]["id"]]}, **place)
    assert (derived["number"], derived["parent"]) == (2, version["uid"])
    assert derived["train_count"] == version["train_count"] - 1
    said = api.refused("dataset_version_derive", 400, {"operation": "keep_labels"}, **place)
    assert "needs it" in said["errors"]["labels"][0]
    fresh = api.do("dataset_fresh_test", **place)
    assert (fresh["number"], fresh["parent"]) == (1, version["uid"])
    renamed = api.do("dataset_change", {"name": "Post"}, uid=version["dataset"])
    assert renamed["name"] == "Post"


def _prompts(api: Api, version: Any) -> Any:
    wrong = [{"role": "user", "content": "{{ inpt }}"}]
    refused = api.refused("prompt_create", 400, {"name": "Sort", "messages": wrong})
    assert "inpt" in refused["title"]
    first = api.do(
        "prompt_create", {"name": "Sort", "messages": PROMPT, "dataset_version": version["uid"], "note": "The first"}
    )
    uid = first["prompt"]
    second = api.do("prompt_version_create", {"messages": [{"role": "user", "content": "Topic? {{ input }}"}]}, uid=uid)
    assert second["number"] == 2
    labelled = api.do("prompt_label_set", {"version": 1}, uid=uid, label="production")
    assert labelled["labels"] == {"production": 1}
    assert api.refused("prompt_label_set", 404, {"version": 9}, uid=uid, label="production")["code"] == "not_found"
    api.do("prompt_label_remove", uid=uid, label="production")
    changed = api.do("prompt_change", {"description": "Sorts mail by topic"}, uid=uid)
    assert (changed["name"], changed["description"], changed["labels"]) == ("Sort", "Sorts mail by topic", {})
    assert len(api.do("prompt", uid=uid)["versions"]) == 2
    unused = api.do("prompt_create", {"name": "Unused", "messages": PROMPT})
    assert [each["name"] for each in api.pages("prompts")] == ["Unused", "Sort"]
    api.do("prompt_delete", uid=unused["prompt"])
    return first


def _experiment(api: Api, version: Any) -> Any:
    definition = {"dataset_version": version["uid"], "name": "Sorting mail", "question": "How should we sort mail?"}
    experiment = api.do("experiment_create", definition)
    uid = experiment["uid"]
    assert (experiment["primary_metric"], experiment["state"]) == ("accuracy", "draft")
    changed = api.do("experiment_change", {"margin": 0.02}, uid=uid)
    assert (changed["margin"], changed["name"]) == (0.02, "Sorting mail")
    assert api.refused("experiment_change", 400, {"primary_metric": "bleu"}, uid=uid)["field"] == "primary_metric"
    for name, body in (("experiment_create", definition), ("experiment_change", {})):
        place = {"uid": uid} if name == "experiment_change" else {}
        unheard = api.refused(name, 400, {**body, "metrics": ["accuracy", "bleu"]}, **place)
        assert unheard["errors"]["metrics"][0].startswith("bleu: no metric of these answers")
    unknown = api.refused("candidates_create", 400, {"baselines": ["unheard"]}, uid=uid)
    assert "unheard" in unknown["errors"]["baselines"][0]
    added = api.do("candidates_create", {"baselines": ["most_frequent", "nearest"]}, uid=uid)
    assert [each["name"] for each in added] == ["Most frequent answer", "Nearest training example"]
    api.do("candidate_take_back", uid=uid, candidate=added[0]["uid"])
    added = [*api.do("candidates_create", {"baselines": ["most_frequent"]}, uid=uid), added[1]]
    assert {each["uid"] for each in api.pages("candidates", uid=uid)} == {each["uid"] for each in added}
    assert api.do("candidates", uid=uid)["next"] is None
    assert api.do("experiment_validate", uid=uid) == {"started": 2}
    assert api.refused("candidate_take_back", 409, uid=uid, candidate=added[0]["uid"])["code"] == "conflict"
    assert api.refused("experiment_final_test", 409, uid=uid)["field"] == "reference"
    api.do("experiment_reference", {"candidate": added[1]["uid"]}, uid=uid)
    run = api.do("experiment_final_test", uid=uid)
    assert api.refused("experiment_report", 404, uid=uid)["code"] == "not_found"
    _jobs(api, run)
    assert worked(ExperimentRun.objects.get(uid=run["uid"])).status == JobStatus.SUCCEEDED
    assert api.do("experiment_run", uid=run["uid"])["status"] == "succeeded"
    return _finished(api, uid)


def _jobs(api: Api, run: Any) -> None:
    """A job is paused, goes on, is cancelled and tried again, and lists say so."""
    place = {"kind": "experimentrun", "uid": run["uid"]}
    assert api.do("job", **place)["actions"] == ["pause", "cancel"]
    assert api.do("job_pause", **place)["status"] == "paused"
    assert api.do("job_resume", **place)["status"] == "queued"
    assert api.refused("job_resume", 409, **place)["code"] == "conflict"
    listed = api.do("jobs", query={"state": "active", "kind": "experimentrun"})
    assert [(job["uid"], job["title"]) for job in listed["results"]] == [(run["uid"], "Sorting mail")]
    assert len(api.pages("jobs")) == api.do("jobs")["count"] > 3
    api.do("job_cancel", **place)
    worked_off = ExperimentRun.objects.get(uid=run["uid"])
    jobs.claim(ExperimentRun, worked_off.pk)
    ExperimentRun.objects.filter(pk=worked_off.pk).update(status=JobStatus.CANCELLED)
    assert api.do("job", **place)["actions"] == ["resume"]
    assert api.do("job_resume", **place)["status"] == "queued"


def _finished(api: Api, uid: str) -> Any:
    report = api.do("experiment_report", uid=uid)
    assert report["schema"] == "llmopt.report/1"
    assert report["conclusion"]["text"] in api.do("experiment_report_markdown", uid=uid)
    assert len(api.do("experiment_leaderboard", uid=uid)["candidates"]) == 2
    assert api.do("experiment", uid=uid)["conclusion"]["text"] == report["conclusion"]["text"]
    assert api.refused("experiment_change", 409, {"margin": 0.5}, uid=uid)["code"] == "conflict"
    noted = api.do("experiment_notes", {"notes": "The lookup is enough."}, uid=uid)
    assert noted["notes"] == "The lookup is enough."
    assert {look["candidate"] for look in api.do("experiment_looks", uid=uid)["results"]} >= {"Most frequent answer"}
    assert len(api.do("experiment_activity", uid=uid)["results"]) > 5
    tested = [each for each in api.do("evaluations")["results"] if each["purpose"] == "final"]
    assert {each["status"] for each in tested} == {"succeeded"}
    assert api.do("evaluation", uid=tested[0]["uid"]) == tested[0]
    clone = api.do("experiment_clone", {}, uid=uid)
    assert (clone["version_number"], clone["state"], clone["previous"]) == (2, "draft", uid)
    assert {each["uid"] for each in api.pages("experiments")} == {uid, clone["uid"]}
    return report


def _plan(api: Api, version: Any) -> None:
    place = {"uid": version["dataset"], "number": 1}
    proposed = api.do("plan", **place)
    assert proposed["proposal"]["primary_metric"] == "accuracy"
    assert proposed["estimate"]["unknown"] == ["Tiny", "training of Tiny"]  # never measured here
    wrong = api.refused("plan_start", 400, {"preset": "unheard"}, **place)
    assert "preset" in wrong["errors"]
    run = api.do("plan_start", {"name": "Mail, planned", "few_shot": False, "tune": False, "shown": 2}, **place)
    assert (run["status"], run["experiment"]) == ("queued", None)
    assert api.do("plan_start", {"name": "Mail, planned", "few_shot": False, "tune": False, "shown": 2}, **place) == run


def _training(api: Api, version: Any, prompt: Any, model: Any) -> None:
    assert "Tiny" in {each["name"] for each in api.do("models")["results"]}
    assert api.do("model", uid=str(model.uid))["state"] == "ready"
    body = {
        "dataset_version": version["uid"],
        "base_model": str(model.uid),
        "prompt_version": prompt["uid"],
        "preset": "quick",
        "max_examples": 16,
    }
    measured = api.do("fine_tune_preflight_create", {**body, "spec": SHORT})
    uid = measured["uid"]
    assert api.refused("fine_tune_preflight_start", 409, {}, uid=uid)["code"] == "conflict"
    # What the host writes; apps/training/tests/test_preflight.py runs it.
    Preflight.objects.filter(uid=uid).update(status=JobStatus.SUCCEEDED, result=MEASURED)
    checked = api.do("fine_tune_preflight", uid=uid)
    assert (checked["status"], checked["allowed"], checked["refusals"]) == ("succeeded", True, [])
    assert 0 < checked["cost_nanousd"]["low"] <= checked["cost_nanousd"]["high"]
    run = api.do("fine_tune_preflight_start", {"name": "Sorter"}, uid=uid)
    unmeasured = {name: value for name, value in body.items() if name != "max_examples"}
    assert api.refused("fine_tune", 400, {**unmeasured, "max_minutes": 1})["code"] == "preflight_needed"
    other = api.do("fine_tune", {**body, "name": "Unmeasured"})
    assert {each["name"] for each in api.pages("fine_tunes")} == {"Sorter", "Unmeasured"}
    for operation, status in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        assert api.do(f"fine_tune_{operation}", uid=other["uid"])["status"] == status
    assert api.do("fine_tune_run", uid=run["uid"])["predicted_low"] == checked["result"]["seconds_low"]
    assert api.do("fine_tune_events", uid=run["uid"]) == {"events": [], "next": 0}
    assert api.do("fine_tune_checkpoints", uid=run["uid"])["results"] == []
    assert TrainingRun.objects.count() == 2


def _money(api: Api) -> None:
    """What was called is in the sums, divided by anything; a budget is made, changed and closed."""
    whole = api.do("usage", query={"by": "model"})
    assert whole["total"]["calls"] == sum(row["calls"] for row in whole["results"]) > 0
    for by in ("day", "experiment", "person", "api_key"):
        found = api.http.get(f"{api.address}/api/v1/usage?range=30d&by={by}", timeout=60).json()
        assert sum(row["spent_nanousd"] for row in found["results"]) == found["total"]["spent_nanousd"]
    wrong = api.http.get(f"{api.address}/api/v1/usage?range=custom&first=2026-02-02&last=2026-02-01", timeout=60)
    assert (wrong.status_code, wrong.json()["field"]) == (400, "last")
    _generated(api)
    budget = api.do("budget_create", {"limit_nanousd": 5_000_000_000, "period": "daily", "hard": False})
    assert (budget["spent_nanousd"], budget["held_nanousd"], budget["experiment"]) == (0, 0, None)
    assert api.do("budgets")["results"][0] == api.do("budget", uid=budget["uid"]) == budget
    again = {"limit_nanousd": 1, "period": "daily", "hard": False}
    assert api.refused("budget_create", 409, again)["code"] == "conflict"
    assert api.do("budget_change", {"limit_nanousd": 7_000_000_000}, uid=budget["uid"])["limit_nanousd"] == 7 * 10**9
    api.do("budget_close", uid=budget["uid"])
    assert api.refused("budget_close", 409, uid=budget["uid"])["code"] == "conflict"
    assert budget["uid"] not in [row["uid"] for row in api.pages("budgets")]
    team = Team.objects.get()
    _prices(api, team)
    _alerts(api, team)


def _prices(api: Api, team: Team) -> None:
    """What a provider and an hour of this machine cost is set, and listed with what held before."""
    uid = str(CommercialModelFactory.create(team=team, served_name="gpt-5-mini").uid)
    rates = {
        "input": {
            "nanousd_per_million": 250_000_000,
            "above": [{"prompt_tokens": 200_000, "nanousd_per_million": 500_000_000}],
        },
        "cached_input": {"nanousd_per_million": 25_000_000},
        "output": {"nanousd_per_million": 2_000_000_000},
    }
    made = api.do("model_price_create", {**rates, "source": "Contract of May"}, uid=uid)
    assert api.do("model_prices", uid=uid)["results"] == [made] == api.pages("model_prices", uid=uid)
    assert made["state"] == "now"
    assert "source" in api.refused("model_price_create", 400, rates, uid=uid)["errors"]
    hour = api.do("local_price_create", {"nanousd_per_hour": 62_500_000, "source": "Rent of the machine"})
    before = api.do("local_prices")["results"]
    assert [(row["assumed"], row["state"]) for row in before] == [(False, "now"), (True, "before")]
    assert before[0] == hour


def _alerts(api: Api, team: Team) -> None:
    """A place is added, whose secret comes once; what is told is listed with its messages; the place is removed."""
    made = api.do("alert_destination_create", {"kind": "webhook", "address": "https://hooks.example.org/money"})
    assert made["secret"].startswith("whsec_")
    alert, place = raised(team), AlertDestination.objects.get(uid=made["uid"])
    AlertDelivery.objects.create(
        alert=alert, destination=place, state="sent", attempts=1, next_attempt_at=timezone.now()
    )
    (told,) = api.do("alerts")["results"]
    assert (told["level_percent"], [each["state"] for each in told["deliveries"]]) == (80, ["sent"])
    one = api.do("alert_destination", uid=made["uid"])
    assert (api.do("alert_destinations")["results"][0], one["last_state"]) == (one, "sent")
    api.do("alert_destination_remove", uid=made["uid"])
    assert api.refused("alert_destination_remove", 409, uid=made["uid"])["code"] == "conflict"


def _generated(api: Api) -> None:
    """A free baseline answers like any model; asked again with the same key, it is the same answer."""
    name = LanguageModel.objects.filter(kind="baseline", state="ready").latest("id").served_name
    answer = api.do("generate", {"model": name, "prompt": "Where is my parcel?", "max_tokens": 16})
    assert answer["output"]
    assert (answer["cached"], answer["cost_is_bound"]) == (False, False)
    assert api.refused("generate", 404, {"model": "nothing", "prompt": "x"})["code"] == "model_not_found"
    assert "messages" in api.refused("generate", 400, {"model": name})["errors"]
    _said(api, answer["generation"], api.do("generate", {"model": name, "prompt": "When does it come?"})["generation"])


def _said(api: Api, generation: str, other: str) -> None:
    """An answer is rated, rated anew, and chosen before another; each is listed once."""
    body = {"generation": generation, "rating": 2, "scale": {"low": 0, "high": 10}, "comment": "Not what I asked."}
    first = api.do("feedback_give", body)
    assert (first["kind"], first["rating"], first["scale"]) == ("rating", 2, {"low": 0, "high": 10})
    again = api.do("feedback_give", {**body, "rating": 9})
    assert (again["uid"], again["rating"]) == (first["uid"], 9)
    choice = api.do("feedback_give", {"generation": other, "other": generation, "preferred": None})
    assert {choice["generation"], choice["other"]} == {generation, other}
    assert api.do("feedback")["results"] == [choice, again] == api.pages("feedback")
    assert "rating" in api.refused("feedback_give", 400, {"generation": generation})["errors"]
    api.do("feedback_withdraw", uid=choice["uid"])
    assert api.refused("feedback_withdraw", 404, uid=choice["uid"])["status"] == 404
    assert api.pages("feedback") == [again]


def _provider_keys(api: Api) -> None:
    """A key is sent, and nothing of it but its end comes back."""
    secret = "sk-0123456789-example-wxyz"
    key = api.do("provider_key_create", {"provider": "openai", "secret": secret, "name": "Ours", "max_concurrency": 8})
    assert (key["last_four"], key["state"], "secret" in key) == ("wxyz", "untested", False)
    uid = key["uid"]
    assert api.do("provider_keys")["results"] == [api.do("provider_key", uid=uid)]
    assert api.refused("provider_key_create", 409, {"provider": "openai", "secret": secret, "name": "Ours"})["code"]
    assert api.do("provider_key_limits", {"requests_per_minute": 60}, uid=uid)["requests_per_minute"] == 60
    assert api.do("provider_key_replace", {"secret": "sk-0123456789-example-vwxy"}, uid=uid)["last_four"] == "vwxy"
    api.do("provider_key_revoke", uid=uid)
    assert api.do("provider_key", uid=uid)["state"] == "revoked"


def _keys_and_tokens(api: Api, email: str) -> None:
    """A program gets a key or tokens, works with them, and loses them."""
    made = api.do("api_key_create", {"name": "Nightly report", "scopes": ["read"]})
    assert api.refused("api_key_create", 400, {"name": "Night", "scopes": ["all"]})["errors"]["scopes"]
    listed = api.do("api_keys")["results"]
    assert listed == [{name: value for name, value in made.items() if name != "key"}] == api.pages("api_keys")
    with_key = Api(api.address, bearer(made["key"]))
    assert with_key.do("datasets") == api.do("datasets")
    assert with_key.refused("prompt_create", 403, {"name": "Mine", "messages": PROMPT})["code"] == "scope_missing"
    assert with_key.refused("api_keys", 403)["code"] == "keys_refused"
    place = {"uid": made["uid"]}
    assert api.do("api_key", **place)["last_used_at"] is not None
    changed = api.do("api_key_change", {"name": "Weekly report", "expires_at": "2999-01-01T00:00:00Z"}, **place)
    assert (changed["name"], changed["state"]) == ("Weekly report", "active")
    api.do("api_key_revoke", **place)
    assert with_key.refused("datasets", 401)["code"] == "key_revoked"

    assert api.refused("auth_token", 401, {"email": email, "password": "wrong"})["code"] == "wrong_credentials"
    first = api.do("auth_token", {"email": email, "password": PASSWORD})
    assert Api(api.address, bearer(first["access"])).do("datasets") == api.do("datasets")
    second = api.do("auth_token_refresh", {"refresh": first["refresh"]})
    api.do("auth_token_revoke", {"refresh": second["refresh"]})
    ended = Api(api.address, bearer(second["access"]))
    assert ended.refused("datasets", 401)["code"] == "token_invalid"


def test_what_depends_on_a_dataset_keeps_it_and_one_that_nothing_uses_is_deleted(api: Api) -> None:
    version = imported(api)
    definition = {"dataset_version": version["uid"], "name": "Sorting mail", "question": "How?"}
    experiment = api.do("experiment_create", definition)
    assert "1 experiment" in api.refused("dataset_delete", 409, uid=version["dataset"])["title"]
    Experiment.objects.filter(uid=experiment["uid"]).delete()

    api.do("dataset_delete", uid=version["dataset"])

    assert api.do("datasets")["results"] == []


def test_a_write_without_the_csrf_token_is_refused(api: Api) -> None:
    del api.http.headers["X-CSRFToken"]

    answer = api.http.post(f"{api.address}/api/v1/datasets", files={"file": ("mail.csv", CSV.encode())}, timeout=60)

    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not Upload.objects.exists()


def test_the_same_file_with_the_same_key_is_one_upload(api: Api) -> None:
    def send(content: str) -> requests.Response:
        file = {"file": ("mail.csv", content.encode())}
        headers = {"Idempotency-Key": "one"}
        return api.http.post(f"{api.address}/api/v1/datasets", files=file, headers=headers, timeout=60)

    first, again, other = send(CSV), send(CSV), send(CSV + "more,refund,c1\n")

    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 409)
    assert first.json() == again.json()
    assert (again.headers["Idempotency-Replayed"], again.headers["Location"]) == ("true", first.headers["Location"])
    assert Upload.objects.count() == 1
    assert not DatasetVersion.objects.exists()
