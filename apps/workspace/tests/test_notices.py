"""What has ended is told on whatever page a person is: once, to whoever started it, and not while it still runs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from apps.accounts.models import Team, User
from apps.billing.metering import MeteredResult
from apps.core import jobs
from apps.core.formats import money_text
from apps.core.models import JobStatus, LiveEvent
from apps.core.tests import factories
from apps.experiments.models import DatasetImport, Upload
from apps.workspace.models import PlaygroundRun
from apps.workspace.selectors.notices import ENDED_WELL
from apps.workspace.services.playground import playground_answer_keep


def settled() -> None:
    """Let the events be old enough to be told."""
    LiveEvent.objects.update(created_at=timezone.now() - timedelta(seconds=10))


def end(row: Any, to: str = JobStatus.SUCCEEDED, **fields: Any) -> None:
    type(row).objects.filter(pk=row.pk).update(status=JobStatus.RUNNING, claim="mine")
    row.refresh_from_db()
    assert jobs.finish(row, to=to, **fields)
    settled()


def ask(client: Client, url: str, at: str = "http://testserver/t/acme/datasets/") -> Any:
    return client.get(url, headers={"HX-Request": "true", "HX-Current-URL": at})


def notices_url(client: Client, page: str) -> str:
    """What the top bar of a page would ask."""
    html = client.get(page).content.decode()
    return html.split('id="notices" hx-get="')[1].split('"')[0]


def made_upload(team: Team, owner: User) -> Upload:
    return Upload.objects.create(
        team=team, created_by=owner, name="calls.csv", stored_name="a" * 20, size_bytes=5, sha256="0" * 64
    )


def made_import(team: Team, owner: User) -> DatasetImport:
    return DatasetImport.objects.create(
        team=team, created_by=owner, upload=made_upload(team, owner), name="Calls", split_seed=1
    )


def made_run(team: Team, owner: User) -> Any:
    experiment = factories.ExperimentFactory.create(team=team, created_by=owner, name="Which one")
    return factories.QuickstartFactory.create(team=team, actor=owner, experiment=experiment)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (made_upload, "calls.csv is read. Say what its columns are."),
        (made_import, "Calls is checked and waits to become a dataset version."),
        (made_run, "Which one has its result."),
        (
            lambda team, owner: factories.TrainingRunFactory.create(team=team, created_by=owner, name="Small"),
            "Small is trained.",
        ),
    ],
)
def test_what_ends_is_told_once_on_another_page(
    client: Client, team: Team, alice: User, make: Callable[[Team, User], Any], words: str
) -> None:
    client.force_login(alice)
    row = make(team, alice)
    url = notices_url(client, f"/t/{team.slug}/datasets/")
    settled()
    assert ask(client, url).status_code == 204

    end(row)
    answer = ask(client, url)
    text = answer.content.decode()
    assert text.count(escape(words)) == 1
    assert f'href="/t/{team.slug}/' in text.split(escape(words))[1]

    # The answer has put itself in the place of what asked, and the next page begins where this one was.
    again = text.split('hx-get="')[1].split('"')[0]
    assert again != url
    assert ask(client, again).status_code == 204
    assert notices_url(client, f"/t/{team.slug}/prompts/") == again


def test_every_kind_of_job_has_its_sentence(team: Team, alice: User) -> None:
    assert {kind.model.lower() for kind in jobs.kinds()} == set(ENDED_WELL)


def test_what_ends_between_two_pages_is_told_on_the_second(client: Client, team: Team, alice: User) -> None:
    client.force_login(alice)
    row = made_upload(team, alice)
    client.get(f"/t/{team.slug}/datasets/")
    end(row, to=JobStatus.FAILED, error="This is no table.")

    text = ask(client, notices_url(client, f"/t/{team.slug}/models/")).content.decode()
    assert "calls.csv has failed. This is no table." in text
    assert 'data-tone="bad"' in text


def test_the_page_of_the_job_itself_and_other_people_are_not_told(
    client: Client, team: Team, alice: User, bob: User
) -> None:
    row = made_upload(team, alice)
    urls = {}
    for person in (alice, bob):
        client.force_login(person)
        urls[person] = notices_url(client, f"/t/{team.slug}/datasets/")
    end(row)

    client.force_login(bob)
    assert "calls.csv" not in ask(client, urls[bob]).content.decode()
    client.force_login(alice)
    here = f"http://testserver/t/{team.slug}/uploads/{row.uid}/?part=rows"
    assert "calls.csv" not in ask(client, urls[alice], at=here).content.decode()


def test_whoever_has_gone_on_already_is_not_told_to(client: Client, team: Team, alice: User) -> None:
    client.force_login(alice)
    url = notices_url(client, f"/t/{team.slug}/datasets/")
    made = made_import(team, alice)
    end(made.upload)
    end(made)
    DatasetImport.objects.update(dataset_version=factories.DatasetVersionFactory.create(dataset__team=team))

    assert "data-toast" not in ask(client, url).content.decode()


def test_what_an_experiment_run_does_on_its_way_is_not_told(client: Client, team: Team, alice: User) -> None:
    client.force_login(alice)
    run = made_run(team, alice)
    candidate = factories.CandidateFactory.create(experiment=run.experiment)
    final = factories.EvaluationFactory.create(candidate=candidate, purpose="final")
    training = factories.TrainingRunFactory.create(team=team, created_by=alice, name="Its training")
    run.training_run = training
    run.save()
    url = notices_url(client, f"/t/{team.slug}/datasets/")
    end(final)
    end(training)

    assert "data-toast" not in ask(client, url).content.decode()


def test_many_at_once_are_told_in_one_sentence(client: Client, team: Team, alice: User) -> None:
    client.force_login(alice)
    rows = [factories.TrainingRunFactory.create(team=team, created_by=alice, name=f"Run {i}") for i in range(5)]
    url = notices_url(client, f"/t/{team.slug}/datasets/")
    for row in rows:
        end(row)

    text = ask(client, url).content.decode()
    assert text.count("is trained.") == 3
    assert "2 more jobs have ended." in text


def test_an_old_page_that_asks_late_brings_no_old_news_back(client: Client, team: Team, alice: User) -> None:
    client.force_login(alice)
    url = notices_url(client, f"/t/{team.slug}/datasets/")
    end(made_upload(team, alice))
    newest = ask(client, url).content.decode().split('hx-get="')[1].split('"')[0]
    assert "calls.csv" in ask(client, url).content.decode()

    assert notices_url(client, f"/t/{team.slug}/datasets/") == newest


def test_an_answer_of_the_playground_is_no_notice_but_brings_what_is_spent_now(
    client: Client, team: Team, alice: User
) -> None:
    client.force_login(alice)
    url = notices_url(client, f"/t/{team.slug}/datasets/")
    run = PlaygroundRun.objects.create(team=team, created_by=alice, setup={"candidates": [{}]})
    cost = factories.entry_of(factories.UnknownFactory.create(team=team, state="settled")).amount_nanousd
    playground_answer_keep(actor=alice, run=run, number=1, result=MeteredResult(text="x"), model=None)
    settled()

    told = ask(client, url)

    assert told.status_code == 200
    assert 'id="money"' in told.content.decode()
    assert f"<strong>{money_text(cost)}</strong>" in told.content.decode()
    assert "data-toast" not in told.content.decode()
    # An answer that was there already is no news.
    playground_answer_keep(actor=alice, run=run, number=1, result=MeteredResult(text="x"), model=None)
    settled()
    assert ask(client, told.content.decode().split('hx-get="')[1].split('"')[0]).status_code == 204
