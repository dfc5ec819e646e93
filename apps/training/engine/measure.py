"""``python -m apps.training.engine.measure FOLDER``: the preflight of a run, from real steps.

The folder holds what a run's does; ``measured.json`` appears in it. Nothing that was computed is kept: the weights that
the steps have changed end with the process.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.core.engine.messages import Sentence, gettext_noop
from apps.providers.engine.chat import ChatError, ChatTokenizer
from apps.training.engine import estimate, process
from apps.training.engine.checkpoint import write_json
from apps.training.engine.data import EncodedRow, Row, check_ids, choose_examples, epoch_groups, make_batch, read_rows
from apps.training.engine.errors import TrainingError
from apps.training.engine.estimate import Around, Memory, StepSize, TimedStep
from apps.training.engine.events import EventLog, Failed, Progress
from apps.training.engine.report import Reporter, free_memory, peak_memory_mib, reset_peak_memory
from apps.training.engine.rowcheck import NAMED_ROWS, Checked, Refusal, check_rows, refusals_of
from apps.training.engine.spec import TrainingSpec, read_spec, resolve

if TYPE_CHECKING:
    import torch

Clock = Callable[[], float]
PERCENTILES = (25, 50, 95)
_SAMPLE_TOKENS = 12
RESULT = "measured.json"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the host knows of the machine and of the person's wish. ``seconds`` 0: no limit."""

    available_mib: float
    seconds: float = 0.0


@dataclass(slots=True)
class Bench:
    """The model with everything that a step needs."""

    spec: TrainingSpec
    tokenizer: ChatTokenizer
    train: tuple[EncodedRow, ...]
    validation: tuple[EncodedRow, ...]
    model: Any
    parameters: dict[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    plain_head: bool
    precision: str
    load_peak_mib: float


def measure(folder: Path, report: Reporter, *, limits: Limits, clock: Clock, started: float) -> dict[str, Any]:
    """All that a person needs to decide. Data that cannot be trained on is refused before a model is opened."""
    spec = read_spec(folder / "spec.json")
    base = resolve(folder, spec.base_model)
    try:
        tokenizer = ChatTokenizer.load(base)
    except ChatError as error:
        return {"refusals": [Refusal("tokenizer", error.sentence).as_json()]}
    train_rows = read_rows(resolve(folder, spec.train_rows), what="training")
    validation_rows = read_rows(resolve(folder, spec.validation_rows), what="validation")
    check_ids(train_rows, validation_rows, spec.sample_ids)
    train = check_rows(train_rows, tokenizer, max_length=spec.max_length)
    validation = check_rows(validation_rows, tokenizer, max_length=spec.max_length)
    context, parameters = _base_facts(base)
    refusals = refusals_of(train, validation, max_length=spec.max_length, context_length=context or spec.max_length)
    found = _row_facts(train, validation) | {"available_mib": round(limits.available_mib)}
    least = estimate.weights_mib(spec, parameters)
    if not refusals and least > limits.available_mib:
        refusals = [
            estimate.memory_refusal(
                spec, needed=least, available=limits.available_mib, parameters=parameters, largest=0
            )
        ]  # fmt: skip
        found["memory_mib"] = round(least)
    if refusals:
        return found | {"refusals": [refusal.as_json() for refusal in refusals]}
    bench, samples = _open(folder, base, spec, tokenizer, train, validation, validation_rows, report, clock)
    return found | _timed(bench, samples, report, limits, clock, started)


def _base_facts(base: Path) -> tuple[int, int]:
    """How many tokens the model reads (0: it does not say), and how many weights its files hold."""
    config = json.loads((base / "config.json").read_text(encoding="utf-8")) if (base / "config.json").is_file() else {}
    context = config.get("max_position_embeddings") or config.get("n_positions") or 0
    count = 0
    for path in base.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        count += sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    return int(context), count


def _row_facts(train: Checked, validation: Checked) -> dict[str, Any]:
    lengths = sorted(len(row.ids) for row in train.encoded)
    return {
        "train_rows": train.rows,
        "validation_rows": validation.rows,
        "tokens": train.tokens,
        "trained_tokens": train.trained_tokens,
        "longest": train.longest,
        "percentiles": {str(at): _at(lengths, at) for at in PERCENTILES} if lengths else {},
        "cut": {
            "train": len(train.cut),
            "validation": len(validation.cut),
            "rows": [asdict(row) for row in (*train.cut, *validation.cut)[:NAMED_ROWS]],
        },
        "unusable": len(train.unusable) + len(validation.unusable),
    }


def _at(ordered: list[Any], percentile: int) -> Any:
    """The nearest-rank percentile of ordered values."""
    return ordered[max(0, math.ceil(percentile / 100 * len(ordered)) - 1)]


def _open(
    folder: Path, base: Path, spec: TrainingSpec, tokenizer: ChatTokenizer, train: Checked, validation: Checked,
    validation_rows: list[Row], report: Reporter, clock: Clock,
) -> tuple[Bench, list[EncodedRow]]:  # fmt: skip
    import torch

    from apps.training.engine.model import has_plain_head, load_trainable, trainable_parameters
    from apps.training.engine.preflight import choose_precision

    with report.phase("load"):
        model = load_trainable(spec, base)
        model.train()
        parameters = trainable_parameters(model)
        optimizer = torch.optim.AdamW(list(parameters.values()), lr=spec.learning_rate, foreach=False, fused=True)
        free_memory()
    load_peak = float(peak_memory_mib())
    plain_head = has_plain_head(model, make_batch(train.encoded[:1], pad_id=tokenizer.pad_id))
    precision: str = spec.precision
    if precision == "auto":
        precision = choose_precision(
            model, train.encoded, wanted="auto", batch_size=spec.batch_size, pad_id=tokenizer.pad_id,
            plain_head=plain_head, clock=clock, chosen_file=folder / "chosen.json",
        ).precision  # fmt: skip
    wanted = spec.sample_ids or tuple(row.id for row in validation_rows[:3])
    samples = [row for row in validation.encoded if row.id in wanted]
    bench = Bench(
        spec=spec, tokenizer=tokenizer, train=train.encoded, validation=validation.encoded, model=model,
        parameters=parameters, optimizer=optimizer, plain_head=plain_head, precision=precision, load_peak_mib=load_peak,
    )  # fmt: skip
    return bench, samples


def _timed(
    bench: Bench, samples: list[EncodedRow], report: Reporter, limits: Limits, clock: Clock, started: float
) -> dict[str, Any]:
    """Time real steps, and from them the whole run."""
    spec, start = bench.spec, clock() - started
    count = sum(parameter.numel() for parameter in bench.model.parameters())
    with report.phase("preflight"):
        groups, sizes = _groups(bench, bench.train)
        largest = max(size.pass_cells for size in sizes)
        timed = _steps(bench, groups, report, limits, clock)
        needed = estimate.memory_needed(timed, largest, load_peak_mib=bench.load_peak_mib)
        around = _around(bench, samples, timed, start, count, clock)
    parts = estimate.run_seconds(spec, timed, sizes, around, validation_rows=len(bench.validation))
    chosen, refusals = bench.train, list[Refusal]()
    if limits.seconds and estimate.HIGH * sum(parts.values()) > limits.seconds:
        chosen, refusals = _within(bench, parts, limits.seconds)
        if chosen:
            _unused, sizes = _groups(bench, chosen)
            parts = estimate.run_seconds(spec, timed, sizes, around, validation_rows=len(bench.validation))
    if needed > limits.available_mib:
        measured = Memory(
            bench.load_peak_mib,
            estimate.memory_line(timed, load_peak_mib=bench.load_peak_mib),
            _upper_half_line(bench, groups, report, limits, clock),
        )
        refusals = [
            *refusals,
            estimate.memory_refusal(
                spec,
                needed=needed,
                available=limits.available_mib,
                parameters=count,
                largest=largest,
                measured=measured,
            ),
        ]
    total = sum(parts.values())
    return {
        "examples": len(chosen),
        "trained_tokens": sum(row.trained_tokens for row in chosen if row.weight > 0),
        "tokens": sum(len(row.ids) for row in chosen),
        "parameters": count,
        "trainable_parameters": around.trainable,
        "precision": bench.precision,
        "total_steps": len(sizes) * spec.epochs,
        "steps": [asdict(step) for step in timed],
        "memory_mib": round(needed),
        "seconds": {name: round(seconds, 2) for name, seconds in parts.items()},
        "seconds_low": round(estimate.LOW * total, 1),
        "seconds_high": round(estimate.HIGH * total, 1),
        "refusals": [refusal.as_json() for refusal in refusals],
    }


def _within(bench: Bench, parts: dict[str, float], seconds: float) -> tuple[tuple[EncodedRow, ...], list[Refusal]]:
    """The examples that fit into the time; a refusal where not even one step does."""
    fit = estimate.examples_within(parts, rows=len(bench.train), limit_seconds=seconds)
    if fit < bench.spec.rows_per_step:
        least = estimate.HIGH * (sum(parts.values()) - parts["train"] + parts["train"] / max(1, len(bench.train)))
        says = Sentence(gettext_noop("Not even one step fits into %(limit)s seconds."), limit=round(seconds))
        fits = Sentence(gettext_noop("A time limit of %(least)s seconds or more would do."), least=math.ceil(least))
        return (), [Refusal("time", says, fits)]
    ids = choose_examples([row.id for row in bench.train], fit, seed=bench.spec.seed)
    return tuple(row for row in bench.train if row.id in ids), []


def _groups(bench: Bench, rows: tuple[EncodedRow, ...]) -> tuple[list[list[int]], list[StepSize]]:
    spec, lengths = bench.spec, [len(row.ids) for row in rows]
    groups = epoch_groups(
        lengths, seed=spec.seed, epoch=0, rows_per_step=spec.rows_per_step, sort_window=spec.sort_window
    )
    return groups, estimate.step_sizes(groups, lengths, spec.batch_size)


def _steps(bench: Bench, groups: list[list[int]], report: Reporter, limits: Limits, clock: Clock) -> list[TimedStep]:
    """One step that warms up, then one at each percentile of the steps' sizes, small ones first.

    A step that by the ones before it would not fit into the memory is not made: its need is what they say.
    """
    lengths = [len(row.ids) for row in bench.train]

    def size_of(group: list[int]) -> StepSize:
        return estimate.step_sizes([group], lengths, bench.spec.batch_size)[0]

    ordered = sorted(groups, key=lambda group: size_of(group).cells)
    _one_step(bench, [bench.train[index] for index in _at(ordered, PERCENTILES[0])])
    timed: list[TimedStep] = []
    for number, percentile in enumerate(PERCENTILES):
        group = _at(ordered, percentile)
        size = size_of(group)
        if len(timed) > 1:
            base, slope = estimate.memory_line(timed, load_peak_mib=bench.load_peak_mib)
            if base + slope * size.pass_cells > limits.available_mib:
                break
        free_memory()
        reset_peak_memory()
        begin = clock()
        _one_step(bench, [bench.train[index] for index in group])
        timed.append(TimedStep(percentile, size, clock() - begin, float(peak_memory_mib())))
        report.progress(Progress("preflight", done=number + 1, total=len(PERCENTILES), unit="step"), force=True)
    return timed


def _upper_half_line(
    bench: Bench, groups: list[list[int]], report: Reporter, limits: Limits, clock: Clock
) -> tuple[float, float] | None:
    """The memory of steps with the adapter in the upper half alone: with the lower one still, what is below it keeps
    nothing for the way back, as if it were not there. None where the run is no such one already."""
    from apps.training.engine.model import lower_half_adapter

    if bench.spec.method != "lora" or bench.spec.lora.layers != "all":
        return None
    still = lower_half_adapter(bench.model)
    for parameter in still.values():
        parameter.requires_grad_(False)
    upper = replace(bench, parameters={name: each for name, each in bench.parameters.items() if name not in still})
    return estimate.memory_line(_steps(upper, groups, report, limits, clock), load_peak_mib=bench.load_peak_mib)


def _one_step(bench: Bench, rows: list[EncodedRow]) -> None:
    from apps.training.engine.loop import gradients

    gradients(
        bench.model, rows, parameters=bench.parameters, spec=bench.spec, pad_id=bench.tokenizer.pad_id,
        plain_head=bench.plain_head, precision=bench.precision,
    )  # fmt: skip
    bench.optimizer.step()
    bench.optimizer.zero_grad(set_to_none=True)


def _around(
    bench: Bench, samples: list[EncodedRow], timed: list[TimedStep], start: float, count: int, clock: Clock
) -> Around:
    """Time a batch of validation and a few sample tokens; the rest of a run is in proportion to them."""
    from apps.training.engine.evaluate import measure as evaluate
    from apps.training.engine.sample import generate

    spec = bench.spec
    ordered = sorted(bench.validation, key=lambda row: len(row.ids))
    middle = max(0, len(ordered) // 2 - spec.batch_size // 2)
    rows = ordered[middle : middle + spec.batch_size]
    begin = clock()
    evaluate(
        bench.model, rows, pad_id=bench.tokenizer.pad_id, batch_size=spec.batch_size, plain_head=bench.plain_head,
        on_rows=lambda _done, _total: None,
    )  # fmt: skip
    validation_row = (clock() - begin) / len(rows)
    tokens, begin = min(_SAMPLE_TOKENS, spec.max_new_tokens), clock()
    generate(bench.model, samples, bench.tokenizer, max_new_tokens=tokens)
    sample = (clock() - begin) * spec.max_new_tokens / tokens
    passes = max(1, spec.accumulation)
    timing = 3 * timed[min(1, len(timed) - 1)].seconds / passes
    trainable = sum(parameter.numel() for parameter in bench.parameters.values())
    return Around(start, timing, validation_row, sample, count, trainable)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m apps.training.engine.measure", description="Measure one run.")
    parser.add_argument("folder", help="directory with spec.json and the row files")
    parser.add_argument("--available-mib", type=float, required=True, help="memory that the run may use")
    parser.add_argument("--seconds", type=float, default=0.0, help="time that the run may take; 0: no limit")
    parser.add_argument("--parent-death", type=int, default=None, metavar="PID", help="die with the parent process")
    options = parser.parse_args(arguments)
    if options.parent_death is not None:
        process.die_with_parent(options.parent_death)
    folder = Path(options.folder).resolve()
    log = EventLog(folder / "events.jsonl")
    report = Reporter(log, clock=time.monotonic)
    failure: TrainingError | None = None
    # A run's phases begin here, too.
    started = time.monotonic()
    try:
        process.set_up_libraries(folder)
        limits = Limits(options.available_mib, options.seconds)
        write_json(folder / RESULT, measure(folder, report, limits=limits, clock=time.monotonic, started=started))
    except TrainingError as error:
        failure = error
    except Exception as error:
        failure = process.as_failure(error)
    report.close()
    if failure is not None:
        log.emit(Failed(failure.code, failure.text, failure.row, failure.sentence.as_json()))
    log.close()
    return 0 if failure is None else 1


if __name__ == "__main__":
    sys.exit(main())
