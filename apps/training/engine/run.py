"""One run from its directory to its result: load, train, merge, convert, certify. Safe to start again at any point."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from apps.training.engine.certificate import certified_rows, certify, model_log_probabilities, require_passed
from apps.training.engine.checkpoint import newest_whole, publish, step_of, write_json
from apps.training.engine.chosen import changes, library_versions, read_chosen, usable_cores
from apps.training.engine.events import Finished, Progress, Started, Stopped
from apps.training.engine.export import (
    export_adapter,
    export_ct2,
    export_full,
    export_merged,
    model_card,
)
from apps.training.engine.job import Job, load_job
from apps.training.engine.loop import StopCheck, StopReason, Trained, train
from apps.training.engine.preflight import cpu_capability
from apps.training.engine.report import Reporter, free_memory, peak_memory_mib

Outcome = Literal["finished"] | StopReason


@dataclass(frozen=True, slots=True)
class _Summary:
    """What training left for the phases after it, kept in a file so that they can be repeated without it."""

    step: int
    train_seconds: float
    tokens_per_second: float
    trained_tokens_per_second: float
    precision: str
    validation: dict[str, Any] | None
    phase_seconds: dict[str, float]
    peak_memory_mib: int
    log_probabilities: dict[str, list[float]]


def run_training(
    run_dir: Path, report: Reporter, *, should_stop: StopCheck, clock: Callable[[], float], threads: int
) -> Outcome:
    """Carry a run as far as it goes. Raises TrainingError with a plain sentence when it cannot go on."""
    result, partial = run_dir / "result", run_dir / "result.partial"
    versions = library_versions()
    report.emit(Started(os.getpid(), _resumed_from(run_dir), threads, versions, cpu_capability()))
    if (result / "summary.json").is_file():
        report.emit(_finished(result))
        return "finished"
    for change in changes(read_chosen(run_dir / "chosen.json"), versions=versions, cores=usable_cores()):
        report.warn(change)
    job = load_job(run_dir)
    partial.mkdir(exist_ok=True)
    kept = run_dir / "trained.json"
    if not kept.is_file():
        trained = train(job, report, should_stop=should_stop, clock=clock)
        if trained.stopped is not None:
            report.emit(Stopped(trained.stopped, trained.position.step, job.total_steps))
            return trained.stopped
        _keep_trained(job, report, trained, partial, kept)
        del trained
        free_memory()
    summary = _Summary(**json.loads(kept.read_text(encoding="utf-8")))
    for name, seconds in summary.phase_seconds.items():
        report.phase_seconds[name] = max(seconds, report.phase_seconds.get(name, 0.0))
    for part in (_merge, _convert):
        reason = should_stop()
        if reason is not None:
            report.emit(Stopped(reason, job.total_steps, job.total_steps))
            return reason
        part(job, report, partial, summary)
    _certify(job, report, partial, summary, threads)
    publish(partial, result)
    report.emit(_finished(result))
    return "finished"


def _keep_trained(job: Job, report: Reporter, trained: Trained, partial: Path, kept: Path) -> None:
    """Save what only the model in memory can give: its probabilities, and the model in its first exported form."""
    at, validation = trained.position, trained.validation
    measured = None if validation is None else dataclasses.asdict(validation)
    with report.phase("merge"):
        rows = [encoded for _row, encoded in certified_rows(job)]
        log_probabilities = model_log_probabilities(trained.model, rows, pad_id=job.tokenizer.pad_id)
        lora = job.spec.method == "lora"
        card = model_card(job, validation=measured, precision=trained.precision, kind="adapter" if lora else "merged")
        if lora:
            export_adapter(trained.model, job, partial / "adapter", card=card)
        else:
            export_full(trained.model, job, partial / "merged", card=card)
    summary = _Summary(
        step=at.step,
        train_seconds=at.train_seconds,
        tokens_per_second=at.tokens / at.train_seconds,
        trained_tokens_per_second=at.trained_tokens / at.train_seconds,
        precision=trained.precision,
        validation=measured,
        phase_seconds=report.phase_seconds,
        peak_memory_mib=peak_memory_mib(),
        log_probabilities=log_probabilities,
    )
    write_json(kept, dataclasses.asdict(summary))


def _merge(job: Job, report: Reporter, partial: Path, summary: _Summary) -> None:
    if (partial / "merged").is_dir():
        return
    with report.phase("merge"):
        card = model_card(job, validation=summary.validation, precision=summary.precision, kind="merged")
        export_merged(job, partial / "adapter", partial / "merged", card=card)
        free_memory()


def _convert(job: Job, report: Reporter, partial: Path, summary: _Summary) -> None:
    if (partial / "ct2").is_dir():
        return
    with report.phase("convert"):
        problem = export_ct2(partial / "merged", job, partial / "ct2")
        if problem is not None:
            report.warn(f"CTranslate2 cannot serve this architecture, so transformers has to: {problem}")
        free_memory()


def _certify(job: Job, report: Reporter, partial: Path, summary: _Summary, threads: int) -> None:
    with report.phase("certify"):
        for leftover in ("certificate.json", "summary.json"):
            (partial / leftover).unlink(missing_ok=True)
        for unfinished in partial.glob(".*.writing"):
            shutil.rmtree(unfinished)
        report.progress(Progress("certify", done=0, total=job.spec.certify_rows, unit="row"), force=True)
        certificate = certify(job, partial, summary.log_probabilities, threads=threads)
        require_passed(certificate)
        write_json(partial / "certificate.json", certificate)
    write_json(partial / "summary.json", _summary_json(report, summary, certificate))


def _summary_json(report: Reporter, summary: _Summary, certificate: dict[str, Any]) -> dict[str, Any]:
    return {
        "step": summary.step,
        "train_seconds": round(summary.train_seconds, 3),
        "tokens_per_second": round(summary.tokens_per_second, 2),
        "trained_tokens_per_second": round(summary.trained_tokens_per_second, 2),
        "phase_seconds": {name: round(seconds, 3) for name, seconds in report.phase_seconds.items()},
        "peak_memory_mib": max(summary.peak_memory_mib, peak_memory_mib()),
        "precision": summary.precision,
        "validation": summary.validation,
        "files": certificate["files"],
        "certificate": {key: certificate[key] for key in ("passed", "largest_difference", "tolerance")},
    }


def _finished(result: Path) -> Finished:
    return Finished(result=str(result), **json.loads((result / "summary.json").read_text(encoding="utf-8")))


def _resumed_from(run_dir: Path) -> int | None:
    """The step of the newest whole state, which is the one that the training loop will load."""
    name = newest_whole(run_dir / "checkpoints")
    return step_of(name) if name is not None else None
