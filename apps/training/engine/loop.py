"""The training loop: from a base model and rows to a trained model, resumable to the bit after any kill.

Nothing here depends on the wall clock except *when* something is saved, measured or shown, and none of these changes a
weight: validation and samples run without dropout and draw no random numbers.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from apps.core.engine.messages import gettext_noop
from apps.training.engine.checkpoint import Loaded, Position, load_latest, restore, save_checkpoint, write_json
from apps.training.engine.data import EncodedRow, make_batch, padding_share, split
from apps.training.engine.errors import TrainingError
from apps.training.engine.evaluate import Measured, choose_rows, measure
from apps.training.engine.events import CheckpointSaved, Preflight, Progress, Sample, Validation
from apps.training.engine.job import Job
from apps.training.engine.model import has_plain_head, load_trainable, token_losses, trainable_parameters
from apps.training.engine.pace import Pace
from apps.training.engine.preflight import Choice, choose_precision, cpu_capability
from apps.training.engine.report import Reporter, free_memory
from apps.training.engine.sample import generate
from apps.training.engine.spec import TrainingSpec

if TYPE_CHECKING:
    import torch

StopReason = Literal["pause", "cancel"]
StopCheck = Callable[[], StopReason | None]
Clock = Callable[[], float]


@dataclass(slots=True)
class Training:
    """The moving parts of one run in one process."""

    job: Job
    report: Reporter
    clock: Clock
    model: Any
    parameters: dict[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    position: Position
    plain_head: bool
    choice: Choice
    pace: Pace


@dataclass(frozen=True, slots=True)
class Trained:
    """A model after its last step, or as far as it came when it was asked to stop."""

    model: Any
    position: Position
    precision: str
    stopped: StopReason | None
    validation: Measured | None


def train(job: Job, report: Reporter, *, should_stop: StopCheck, clock: Clock) -> Trained:
    """Train to the end, or until ``should_stop`` names a reason. In both cases the last state is saved."""
    spec = job.spec
    run = _prepare(job, report, clock)
    with report.phase("train"):
        base_answers = _base_answers(run)
        if run.position.step == 0:
            _validate(run, final=False)
            _show_samples(run, base_answers)
        now = clock()
        last = {"validate": now, "sample": now, "save": now}
        while run.position.step < job.total_steps:
            epoch, first = run.position.epoch, run.position.group
            for group in job.groups(epoch)[first:]:
                reason = should_stop()
                if reason is not None:
                    _save(run)
                    return Trained(run.model, run.position, run.choice.precision, reason, None)
                _one_step(run, [job.train[index] for index in group])
                if _due(run, last, "save", spec.checkpoint_every_seconds, spec.checkpoint_every_steps):
                    _save(run)
                if _due(run, last, "validate", spec.evaluate_every_seconds):
                    _validate(run, final=False)
                if _due(run, last, "sample", spec.sample_every_seconds):
                    _show_samples(run, base_answers)
        _save(run)
        measured = _validate(run, final=True)
        _show_samples(run, base_answers)
    return Trained(run.model, run.position, run.choice.precision, None, measured)


def _prepare(job: Job, report: Reporter, clock: Clock) -> Training:
    """Model, optimizer and random numbers as they were at the last checkpoint, or as they are before the first step."""
    import torch

    spec = job.spec
    with report.phase("load"):
        model = load_trainable(spec, job.base)
        model.train()
        parameters = trainable_parameters(model)
        optimizer = torch.optim.AdamW(
            list(parameters.values()), lr=spec.learning_rate, betas=(0.9, 0.999), eps=1e-8,
            weight_decay=spec.weight_decay, foreach=False, fused=True,
        )  # fmt: skip
        saved = load_latest(job.checkpoints, spec_sha256=spec.sha256(), warn=report.warn)
        if saved is not None:
            report.phase_seconds.update(saved.phase_seconds)
    with report.phase("preflight"):
        run = _preflight(job, report, clock, model, parameters, optimizer, saved)
        free_memory()
    if saved is None:
        torch.manual_seed(spec.seed)
    else:
        restore(saved, parameters=parameters, optimizer=optimizer)
        report.info(f"Going on from step {run.position.step} of {job.total_steps}.")
    return run


def _one_step(run: Training, rows: Sequence[EncodedRow]) -> None:
    """One optimizer step on one group of rows, in passes of ``batch_size`` rows.

    loss = Σ weight · nll / Σ weight over the trained tokens of the whole group, so that neither the batch size nor the
    accumulation changes what is learned.
    """
    import torch

    spec, job = run.job.spec, run.job
    begin = run.clock()
    rate = learning_rate(spec, step=run.position.step, total=job.total_steps)
    for options in run.optimizer.param_groups:
        options["lr"] = rate
    loss, norm, total_weight = gradients(
        run.model, rows, parameters=run.parameters, spec=spec, pad_id=job.tokenizer.pad_id, plain_head=run.plain_head,
        precision=run.choice.precision,
    )  # fmt: skip
    if not math.isfinite(loss) or not bool(torch.isfinite(norm)):
        template = gettext_noop(
            "The loss is not a finite number at step %(step)s. A lower learning_rate usually helps."
        )
        raise TrainingError("not_finite", template, rows[0].id, step=run.position.step + 1)
    if total_weight > 0:
        run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    seconds = run.clock() - begin
    _advance(run, rows, seconds)
    _tell(run, loss=loss, rate=rate)


def gradients(
    model: Any, rows: Sequence[EncodedRow], *, parameters: dict[str, torch.nn.Parameter], spec: TrainingSpec,
    pad_id: int, plain_head: bool, precision: str,
) -> tuple[float, torch.Tensor, float]:  # fmt: skip
    """Clipped gradients of one group of rows: its loss, the norm before clipping, and the weight behind the loss."""
    import torch

    total_weight = sum(row.weight * row.trained_tokens for row in rows)
    loss = 0.0
    for part in split(rows, spec.batch_size):
        batch = make_batch(part, pad_id=pad_id)
        nll, _right = token_losses(model, batch, plain_head=plain_head, precision=precision)
        part_loss = (nll * batch.weights).sum() / max(total_weight, 1e-12)
        part_loss.backward()
        loss += float(part_loss.detach())
    norm = torch.nn.utils.clip_grad_norm_(parameters.values(), spec.max_grad_norm, foreach=False)
    return loss, norm, total_weight


def learning_rate(spec: TrainingSpec, *, step: int, total: int) -> float:
    """The rate of 0-based ``step``: linear warm-up, then constant or linearly down to 0 after the last step."""
    if step < spec.warmup_steps:
        return spec.learning_rate * (step + 1) / spec.warmup_steps
    if spec.schedule == "constant":
        return spec.learning_rate
    return spec.learning_rate * (total - step) / max(1, total - spec.warmup_steps)


def _advance(run: Training, rows: Sequence[EncodedRow], seconds: float) -> None:
    tokens = sum(len(row.ids) for row in rows)
    run.pace.step(tokens, seconds)
    at = run.position
    ended = at.group + 1 == run.job.steps_per_epoch
    run.position = Position(
        step=at.step + 1,
        epoch=at.epoch + 1 if ended else at.epoch,
        group=0 if ended else at.group + 1,
        train_seconds=at.train_seconds + seconds,
        tokens=at.tokens + tokens,
        trained_tokens=at.trained_tokens + sum(row.trained_tokens for row in rows),
    )


def _tell(run: Training, *, loss: float, rate: float) -> None:
    job, at = run.job, run.position
    low, high = _seconds_left(run)
    progress = Progress(
        phase="train", done=at.step, total=job.total_steps, unit="step", epoch=at.epoch,
        tokens_per_second=round(at.tokens / at.train_seconds, 1),
        trained_tokens_per_second=round(at.trained_tokens / at.train_seconds, 1),
        seconds_left_low=low, seconds_left_high=high,
        loss=loss, learning_rate=rate, train_seconds=round(at.train_seconds, 2),
    )  # fmt: skip
    run.report.progress(progress, force=at.step == job.total_steps)


def _seconds_left(run: Training) -> tuple[float, float]:
    job, spec = run.job, run.job.spec
    all_tokens = spec.epochs * sum(len(row.ids) for row in job.train)
    final = choose_rows(job.validation, spec.final_evaluate_rows, seed=spec.seed)
    return run.pace.left(
        tokens=all_tokens - run.position.tokens,
        validation_tokens=sum(len(row.ids) for row in final),
        every={"validate": spec.evaluate_every_seconds, "sample": spec.sample_every_seconds},
    )


def _due(run: Training, last: dict[str, float], name: str, seconds: float, steps: int = 0) -> bool:
    """Whether something that happens every so many seconds (or steps) is due; if so, its time starts anew."""
    by_time = seconds > 0 and run.clock() - last[name] >= seconds
    by_step = steps > 0 and run.position.step % steps == 0
    if run.position.step == run.job.total_steps or not (by_time or by_step):
        return False
    last[name] = run.clock()
    return True


def _save(run: Training) -> None:
    begin = run.clock()
    saved = save_checkpoint(
        run.job.checkpoints,
        spec_sha256=run.job.spec.sha256(),
        position=run.position,
        phase_seconds=run.report.phase_seconds | {"train": run.position.train_seconds},
        parameters=run.parameters,
        optimizer=run.optimizer,
    )
    seconds = round(run.clock() - begin, 3)
    run.report.emit(CheckpointSaved(run.position.step, saved.name, saved.sha256, saved.bytes, seconds))


def _validate(run: Training, *, final: bool) -> Measured:
    spec, begin = run.job.spec, run.clock()
    count = spec.final_evaluate_rows if final else spec.evaluate_rows
    rows = choose_rows(run.job.validation, count, seed=spec.seed)
    with run.report.phase("validate"):
        measured = measure(
            run.model, rows, pad_id=run.job.tokenizer.pad_id, batch_size=spec.batch_size, plain_head=run.plain_head,
            on_rows=lambda done, total: run.report.progress(Progress("validate", done=done, total=total, unit="row")),
        )  # fmt: skip
        if not math.isfinite(measured.answer_loss):
            template = gettext_noop("The validation loss is not a finite number at step %(step)s.")
            raise TrainingError("not_finite", template, step=run.position.step)
        run.report.emit(Validation(step=run.position.step, final=final, **dataclasses.asdict(measured)))
    free_memory()
    run.pace.pause("validate", run.clock() - begin)
    return measured


def _show_samples(run: Training, base: list[str]) -> None:
    job, begin = run.job, run.clock()
    with run.report.phase("sample"):
        now = base
        if run.position.step > 0:
            now = generate(run.model, job.encoded_samples, job.tokenizer, max_new_tokens=job.spec.max_new_tokens)
        examples = [
            {"id": row.id, "prompt": row.messages[-1].content, "expected": row.answer, "base": before, "now": after}
            for row, before, after in zip(job.samples, base, now, strict=True)
        ]
        seconds = run.clock() - begin
        run.report.emit(Sample(step=run.position.step, seconds=round(seconds, 3), examples=examples))
    run.pace.pause("sample", max(seconds, 0.5))


def _base_answers(run: Training) -> list[str]:
    """What the base model answered to the sample rows: generated before the first step, kept for later starts."""
    path = run.job.run_dir / "base_samples.json"
    ids = [row.id for row in run.job.samples]
    if path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        return [kept[row_id] for row_id in ids]
    job = run.job
    with run.report.phase("sample"):
        answers = _answers_without_training(run)
    write_json(path, dict(zip(ids, answers, strict=True)))
    run.report.info(f"The base model answered {len(job.samples)} sample rows.")
    return answers


def _answers_without_training(run: Training) -> list[str]:
    job, model = run.job, run.model
    if run.position.step > 0:
        # The file was lost together with the first start; an untouched copy of the base answers instead.
        from apps.training.engine.model import load_base

        model = load_base(job.base)
    return generate(model, job.encoded_samples, job.tokenizer, max_new_tokens=job.spec.max_new_tokens)


def _preflight(
    job: Job, report: Reporter, clock: Clock, model: Any, parameters: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer, saved: Loaded | None,
) -> Training:  # fmt: skip
    spec, tokenizer = job.spec, job.tokenizer
    plain_head = has_plain_head(model, make_batch(job.train[:1], pad_id=tokenizer.pad_id))
    choice = choose_precision(
        model, job.train, wanted=spec.precision, batch_size=spec.batch_size, pad_id=tokenizer.pad_id,
        plain_head=plain_head, clock=clock, chosen_file=job.run_dir / "chosen.json",
    )  # fmt: skip
    count = sum(parameter.numel() for parameter in model.parameters())
    pace = Pace(tokens_per_second=choice.tokens_per_second, parameters=count)
    position = saved.position if saved is not None else Position()
    run = Training(job, report, clock, model, parameters, optimizer, position, plain_head, choice, pace)
    low, high = _seconds_left(run)
    lengths = [len(row.ids) for row in job.train]
    report.emit(
        Preflight(
            train_rows=len(job.train), validation_rows=len(job.validation), train_tokens=sum(lengths),
            trained_tokens=sum(row.trained_tokens for row in job.train), longest=max(lengths),
            padding_share=round(padding_share(job.groups(0), lengths, spec.batch_size), 4), total_steps=job.total_steps,
            trainable_parameters=sum(parameter.numel() for parameter in parameters.values()), parameters=count,
            cpu_capability=cpu_capability(), step_seconds=choice.step_seconds, precision=choice.precision,
            precision_reason=choice.reason, seconds_low=low, seconds_high=high, stop_token=tokenizer.stop_token,
            stop_id=tokenizer.stop_id, first_prompt=tokenizer.render_text(job.samples[0].messages),
        )
    )  # fmt: skip
    return run
