"""Bringing the engine's events into the database: each event once, in batches, only for the current attempt."""

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.core import live
from apps.core.engine.messages import Sentence
from apps.core.errors import translated
from apps.core.models import JobStatus
from apps.training.engine.checkpoint import KEEP
from apps.training.models import Checkpoint, MetricPoint, SampleOutput, TrainingRun

Event = dict[str, Any]
Fields = dict[str, Any]
LOG_LINES = 60

# Phases in which the trainer does not know yet how fast it will be.
_BEFORE_TRAINING = frozenset({"load", "preflight"})
_VALIDATION_METRICS = ("token_loss", "token_accuracy", "answer_loss", "answer_accuracy")
_PROGRESS_METRICS = {
    "loss": "train_loss",
    "learning_rate": "learning_rate",
    "trained_tokens_per_second": "trained_tokens_per_second",
    "memory_mib": "memory_mib",
}


def record_events(run: TrainingRun, events: list[Event], *, offset: int) -> bool:
    """Apply a batch with its byte offset in one transaction. False when another attempt has taken over: stop."""
    with transaction.atomic():
        fields: Fields = {"event_offset": offset, "heartbeat_at": timezone.now()}
        current = TrainingRun.objects.select_for_update().filter(
            pk=run.pk, attempt=run.attempt, claim=run.claim, status=JobStatus.RUNNING
        )
        row = current.first()
        if row is None:
            return False
        for event in events:
            fields.update(_apply(row, event, fields))
        changed = bool(current.update(**fields))
        if changed and events:
            live.publish(run, "progress")
    return changed


def _apply(run: TrainingRun, event: Event, fields: Fields) -> Fields:
    handler = _HANDLERS.get(event["type"])
    return handler(run, event, fields) if handler else {}


def _started(run: TrainingRun, event: Event, fields: Fields) -> Fields:
    resumed = event.get("resumed_from_step")
    text = f"started on {event.get('cpu')}, {event.get('threads')} threads"
    if resumed is not None:
        text += f", resumed from step {resumed}"
    device = f"{event.get('cpu')}, {event.get('threads')} threads"
    return {"device": device, **_log(run, fields, event, text)}


def _phase(run: TrainingRun, event: Event, fields: Fields) -> Fields:
    phases = [phase for phase in fields.get("phases", run.phases) if phase["name"] != event["phase"]]
    before = next((phase for phase in fields.get("phases", run.phases) if phase["name"] == event["phase"]), None)
    entry = before or {"name": event["phase"], "seconds": 0.0, "count": 0, "started_at": event["at"]}
    entry = {**entry, "state": event["state"]}
    if event["state"] == "started":
        entry["started_at"] = event["at"]
    else:
        entry["seconds"] = entry["seconds"] + (event["seconds"] or 0.0)
        entry["count"] = entry["count"] + 1
    changed: Fields = {"phases": [*phases, entry]}
    if event["state"] == "started":
        changed["phase"] = event["phase"]
    return changed


def _preflight(run: TrainingRun, event: Event, fields: Fields) -> Fields:
    text = (
        f"{event['train_rows']} rows, {event['trained_tokens']} trained tokens, {event['total_steps']} steps,"
        f" {event['precision']} ({event['precision_reason']})"
    )
    return {"result": {**fields.get("result", run.result), "preflight": event}, **_log(run, fields, event, text)}


def _progress(run: TrainingRun, event: Event, fields: Fields) -> Fields:
    if event["phase"] == "train":
        points = [
            MetricPoint(run=run, name=name, step=event["done"], value=event[key])
            for key, name in _PROGRESS_METRICS.items()
            if event.get(key) is not None
        ]
        _store_points(points)
    low, high = event.get("seconds_left_low"), event.get("seconds_left_high")
    if low is None and event["phase"] in _BEFORE_TRAINING:
        low, high = _left_by_prediction(run, fields)
    changed: Fields = {
        "phase": event["phase"],
        "done": event["done"],
        "total": event["total"] or 0,
        "seconds_left_low": low,
        "seconds_left_high": high,
        **_first_prediction(run, event, fields),
    }
    if event.get("memory_mib") is not None:
        changed["memory_mib"] = event["memory_mib"]
    if event.get("trained_tokens_per_second") is not None:
        changed["tokens_per_second"] = event["trained_tokens_per_second"]
    return changed


def _first_prediction(run: TrainingRun, event: Event, fields: Fields) -> Fields:
    """Where nobody checked the run before its start: what the trainer says after its first step, and what is behind it.

    Before that it has not seen what validation and samples take. What was once predicted stays.
    """
    known = run.predicted_low is not None or "predicted_low" in fields
    if known or event.get("train_seconds") is None or event.get("seconds_left_low") is None:
        return {}
    behind = event["train_seconds"] + _seconds_behind(run, fields)
    return {
        "predicted_low": behind + event["seconds_left_low"],
        "predicted_high": behind + event["seconds_left_high"],
    }


def _left_by_prediction(run: TrainingRun, fields: Fields) -> tuple[float | None, float | None]:
    """Before the first step the trainer cannot tell; the check before the start could. Nothing once it is used up."""
    if run.predicted_low is None or run.predicted_high is None:
        return None, None
    behind = _seconds_behind(run, fields)
    if behind >= run.predicted_high:
        return None, None
    return max(0.0, run.predicted_low - behind), run.predicted_high - behind


def _seconds_behind(run: TrainingRun, fields: Fields) -> float:
    """Seconds of the phases that have ended, but for training, whose own seconds come with its progress."""
    phases = fields.get("phases", run.phases)
    return float(sum(phase["seconds"] for phase in phases if phase["name"] != "train"))


def _validation(run: TrainingRun, event: Event, fields: Fields) -> Fields:
    _store_points(
        [
            MetricPoint(run=run, name=f"validation_{name}", step=event["step"], value=event[name])
            for name in _VALIDATION_METRICS
            if event.get(name) is not None
        ]
    )
    text = f"validation at step {event['step']}: loss per answer {event['answer_loss']:.2f}"
    return _log(run, fields, event, text)


def _store_points(points: list[MetricPoint]) -> None:
    """A resumed engine repeats the steps after its checkpoint; the repeated value is the same."""
    MetricPoint.objects.bulk_create(
        points, update_conflicts=True, unique_fields=["run", "name", "step"], update_fields=["value"]
    )


def _sample(run: TrainingRun, event: Event, fields: Fields) -> Fields:
    for shown in event["examples"]:
        SampleOutput.objects.update_or_create(
            run=run,
            example_id=shown["id"],
            step=event["step"],
            defaults={
                "input": shown["prompt"],
                "expected": shown["expected"],
                "base": shown["base"],
                "text": shown["now"],
            },
        )
    return {}


def _checkpoint(run: TrainingRun, event: Event, fields: Fields) -> Fields:
    Checkpoint.objects.update_or_create(
        run=run, step=event["step"], defaults={"digest": event["sha256"], "size_bytes": event["bytes"]}
    )
    # The engine has deleted the files of all before these.
    kept = list(run.checkpoints.order_by("-step").values_list("pk", flat=True)[:KEEP])
    run.checkpoints.exclude(pk__in=kept).delete()
    return _log(run, fields, event, f"checkpoint at step {event['step']}, {event['bytes'] / 2**20:.1f} MiB")


def _line(run: TrainingRun, event: Event, fields: Fields) -> Fields:
    return _log(run, fields, event, f"{event['level']}: {event['text']}")


def _log(run: TrainingRun, fields: Fields, event: Event, text: str) -> Fields:
    lines = [*fields.get("log_tail", run.log_tail).splitlines(), f"{event['at']} {text}"]
    return {"log_tail": "\n".join(lines[-LOG_LINES:])}


_HANDLERS: dict[str, Callable[[TrainingRun, Event, Fields], Fields]] = {
    "started": _started,
    "phase": _phase,
    "preflight": _preflight,
    "progress": _progress,
    "validation": _validation,
    "sample": _sample,
    "checkpoint": _checkpoint,
    "log": _line,
}


def failure_text(event: Event) -> str:
    """The sentence of an `error` event, in the language of this process; empty when the engine left none."""
    sentence = event.get("sentence")
    return translated(Sentence.from_json(sentence)) if sentence else str(event.get("text") or "")
