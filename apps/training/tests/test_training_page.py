"""The page of a training run: its series, phases, samples, and what may be pressed."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import Team, User
from apps.core.models import JobStatus
from apps.core.tests.factories import TrainingRunFactory
from apps.training import selectors
from apps.training.charts import token_loss_chart
from apps.training.models import MetricPoint, SampleOutput, TrainingRun


@pytest.fixture
def run(team: Team, alice: User) -> TrainingRun:
    made: TrainingRun = TrainingRunFactory.create(
        team=team, created_by=alice, status=JobStatus.RUNNING, started_at=timezone.now(), done=3, total=8, phase="train"
    )
    return made


def _points(run: TrainingRun, count: int, name: str = "train_loss") -> None:
    MetricPoint.objects.bulk_create(MetricPoint(run=run, name=name, step=n, value=float(n)) for n in range(count))


def test_a_short_series_is_shown_point_by_point(run: TrainingRun) -> None:
    _points(run, 40)

    found = selectors.series(run, "train_loss")

    assert found.steps == list(range(40))
    assert found.values == [float(n) for n in range(40)]
    assert found.every == 1


def test_a_long_series_is_thinned_to_means_of_equal_spans(run: TrainingRun) -> None:
    _points(run, 2000)

    found = selectors.series(run, "train_loss")

    assert len(found.steps) == selectors.MOST_POINTS
    assert found.every == 4
    assert found.values[:2] == [1.5, 5.5]
    assert (found.steps[0], found.steps[-1]) == (3, 1999)


def test_a_series_without_points_draws_nothing(run: TrainingRun) -> None:
    empty = selectors.series(run, "train_loss")

    assert (empty.steps, empty.last) == ([], None)
    assert token_loss_chart(empty, empty) is None


def test_the_title_of_the_loss_says_how_it_changed(run: TrainingRun) -> None:
    for step, value in ((0, 2.0), (1, 1.25)):
        MetricPoint.objects.create(run=run, name="train_loss", step=step, value=value)

    chart = token_loss_chart(selectors.series(run, "train_loss"), selectors.series(run, "validation_token_loss"))

    assert chart is not None
    assert chart.title == "Loss per trained token fell from 2.00 to 1.25"
    assert chart.figure["layout"]["yaxis"]["title"]["text"] == "Loss (nats per token)"


def _phase(name: str, state: str, seconds: float, ago: float = 0.0) -> dict[str, Any]:
    started = (timezone.now() - timedelta(seconds=ago)).isoformat()
    return {"name": name, "state": state, "seconds": seconds, "count": 1, "started_at": started}


def test_a_phase_under_way_counts_up_to_now(run: TrainingRun) -> None:
    run.phases = [_phase("load", "finished", 3.0), _phase("train", "started", 10.0, ago=60)]

    stages = {stage["label"]: stage for stage in selectors.phase_stages(run)}

    assert stages["Load the model"] == {"label": "Load the model", "state": "succeeded", "seconds": 3.0}
    assert stages["Train"]["state"] == "running"
    assert 70 <= stages["Train"]["seconds"] < 100
    assert stages["Merge"]["state"] == "waiting"


def test_after_a_failure_the_phase_at_work_failed_and_the_rest_was_skipped(run: TrainingRun) -> None:
    run.status = JobStatus.FAILED
    run.phases = [_phase("train", "started", 10.0, ago=60)]

    stages = {stage["label"]: stage["state"] for stage in selectors.phase_stages(run)}

    assert (stages["Train"], stages["Merge"]) == ("failed", "skipped")


def test_samples_are_the_newest_answer_to_each_example(run: TrainingRun) -> None:
    for example in ("b", "a"):
        for step in (0, 5):
            SampleOutput.objects.create(
                run=run, example_id=example, step=step, input="in", expected="out", text=f"{example}{step}"
            )

    assert [sample.text for sample in selectors.latest_samples(run)] == ["a5", "b5"]


def _open(client: Client, run: TrainingRun, query: str = "", **headers: Any) -> str:
    response = client.get(reverse("training_run", args=[run.team.slug, run.uid]) + query, **headers)
    assert response.status_code == 200
    text = response.content.decode()
    assert "<c-" not in text
    return text


def test_a_running_run_can_be_paused_and_cancelled_and_is_followed_live(
    client: Client, run: TrainingRun, alice: User
) -> None:
    client.force_login(alice)

    text = _open(client, run)

    assert "Pause job" in text
    assert "Cancel job" in text
    assert f"topic=trainingrun:{run.uid}" in text
    assert "3 of 8" in text


def test_a_failed_run_says_what_failed_what_was_kept_and_what_to_press(
    client: Client, run: TrainingRun, alice: User
) -> None:
    client.force_login(alice)
    TrainingRun.objects.filter(pk=run.pk).update(
        status=JobStatus.FAILED, error="It broke.", error_kept="Step 2 is kept.", error_next="Press Retry."
    )

    text = _open(client, run)

    assert all(sentence in text for sentence in ("It broke.", "Step 2 is kept.", "Press Retry.", "Retry job"))


def test_a_part_is_served_alone(client: Client, run: TrainingRun, alice: User) -> None:
    client.force_login(alice)

    text = _open(client, run, "?part=progress", HTTP_HX_REQUEST="true")

    assert "<html" not in text
    assert 'id="training-progress"' in text
    assert "training-charts" not in text


def test_a_viewer_sees_no_action(client: Client, run: TrainingRun, vera: User) -> None:
    client.force_login(vera)

    assert "Cancel job" not in _open(client, run)


def test_a_finished_run_is_told_by_its_steps_and_its_peak_memory(run: TrainingRun) -> None:
    run.status, run.phase, run.done, run.total = JobStatus.SUCCEEDED, "", 0, 8
    run.result = {"step": 133, "peak_memory_mib": 2570}

    progress = selectors.run_progress(run)

    assert (progress.done, progress.total, progress.steps) == (133, 133, True)
    assert (progress.memory_mib, progress.memory_is_peak) == (2570, True)


def test_a_phase_after_training_does_not_count_steps(run: TrainingRun) -> None:
    run.phase = "certify"

    assert selectors.run_progress(run).steps is False
