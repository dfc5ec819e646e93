"""From a few measured steps to the time and the memory of a whole run: arithmetic alone, no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apps.core.engine.messages import Sentence, gettext_noop
from apps.training.engine.rowcheck import Refusal
from apps.training.engine.spec import TrainingSpec

# The range around a prediction: measured against whole runs of a 135 million parameter model on two cores.
LOW, HIGH = 0.9, 1.15
# Over the most memory that was measured or follows from it.
MEMORY_MARGIN = 1.1
# Peaks of like steps differ by this much from one process to the next: what is said to fit has to pass its own check.
AGAIN_MARGIN = 1.06
# Merging, converting and certifying, seconds per million parameters, and their start: between the 15 and the 23 seconds
# that two machines of two cores took for 135 million.
TAIL_SECONDS, TAIL_SECONDS_PER_MILLION = 3.0, 0.12
_BYTES_PER_SECOND = 150e6
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class StepSize:
    """``cells``: positions computed in one optimizer step, padding included; ``pass_cells``: in its largest pass."""

    cells: int
    pass_cells: int


@dataclass(frozen=True, slots=True)
class TimedStep:
    percentile: int
    size: StepSize
    seconds: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Around:
    """Seconds of everything that is not a step: start and load, one validation row, one batch of samples."""

    start: float
    timing: float
    validation_row: float
    sample: float
    parameters: int
    trainable: int


def step_sizes(groups: Sequence[Sequence[int]], lengths: Sequence[int], batch_size: int) -> list[StepSize]:
    """The size of each optimizer step, smallest first."""
    sizes = []
    for group in groups:
        passes = [group[begin : begin + batch_size] for begin in range(0, len(group), batch_size)]
        cells = [max(lengths[index] for index in part) * len(part) for part in passes]
        sizes.append(StepSize(sum(cells), max(cells)))
    return sorted(sizes, key=lambda size: (size.cells, size.pass_cells))


def step_seconds(timed: Sequence[TimedStep], cells: float) -> float:
    """Seconds of a step of ``cells`` positions: the least-squares line through the timed ones, never falling."""
    xs, ys = [step.size.cells for step in timed], [step.seconds for step in timed]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread if spread else 0.0
    if slope <= 0 or mean_y - slope * mean_x < 0:
        return mean_y * cells / mean_x  # too noisy, or too alike, for a line: in proportion
    return mean_y + slope * (cells - mean_x)


def run_seconds(
    spec: TrainingSpec, timed: Sequence[TimedStep], sizes: Sequence[StepSize], around: Around, *, validation_rows: int
) -> dict[str, float]:
    """Predicted seconds of a run by part, from the start of its process to its end."""
    train = spec.epochs * sum(step_seconds(timed, size.cells) for size in sizes)
    during = min(spec.evaluate_rows or validation_rows, validation_rows)
    final = min(spec.final_evaluate_rows or validation_rows, validation_rows)
    checks = 1 + train / spec.evaluate_every_seconds
    # The samples' first answers are the base model's; the last ones are written after the last step.
    samples = 2 + train / spec.sample_every_seconds
    saves = 1 + (train / spec.checkpoint_every_seconds if spec.checkpoint_every_seconds else 0.0)
    return {
        "start": around.start + around.timing,
        "train": train,
        "validate": around.validation_row * (checks * during + final),
        "sample": around.sample * samples,
        # Weights and the optimizer's two moments, in float32.
        "checkpoint": saves * 12 * around.trainable / _BYTES_PER_SECOND,
        "export": TAIL_SECONDS + TAIL_SECONDS_PER_MILLION * around.parameters / 1e6,
    }


def examples_within(parts: dict[str, float], *, rows: int, limit_seconds: float) -> int:
    """How many training examples fit into the time, at the upper end of the prediction; 0 when not even the start."""
    per_row = sum(parts[name] for name in ("train", "validate", "sample", "checkpoint")) / rows
    left = limit_seconds / HIGH - parts["start"] - parts["export"]
    return max(0, min(rows, int(left / per_row)))


def memory_line(timed: Sequence[TimedStep], *, load_peak_mib: float) -> tuple[float, float]:
    """(MiB at no cells, MiB per cell of a pass) of the steps; a flat line where the peaks do not grow."""
    first, last = timed[0], timed[-1]
    apart = last.size.pass_cells - first.size.pass_cells
    slope = max(0.0, (last.peak_mib - first.peak_mib) / apart) if apart > 0 else 0.0
    return max(load_peak_mib * 0.5, last.peak_mib - slope * last.size.pass_cells), slope


def memory_needed(timed: Sequence[TimedStep], largest: int, *, load_peak_mib: float) -> float:
    """MiB of the run with its margin: the measured peak, or what its largest pass needs where that is more."""
    base, slope = memory_line(timed, load_peak_mib=load_peak_mib)
    highest = max(step.peak_mib for step in timed)
    return MEMORY_MARGIN * max(load_peak_mib, highest, base + slope * largest)


def weights_mib(spec: TrainingSpec, parameters: int) -> float:
    """The least that a run needs: weights in float32, and for full fine-tuning gradients and two moments as well."""
    return parameters * 4 * (4 if spec.method == "full" else 1) / _MIB


@dataclass(frozen=True, slots=True)
class Memory:
    """What was measured of a run that needs too much: MiB at load, the line of its steps (MiB at no cells, MiB per cell
    of a pass), and that line with the adapter in the upper half of the layers alone (None: not tried).
    """

    load_peak: float
    line: tuple[float, float]
    upper_half: tuple[float, float] | None = None

    def of(self, line: tuple[float, float], cells: float) -> float:
        """What a check of a run with such a largest pass would find at the most, its margin included."""
        return AGAIN_MARGIN * MEMORY_MARGIN * max(self.load_peak, line[0] + line[1] * cells)


def memory_refusal(
    spec: TrainingSpec,
    *,
    needed: float,
    available: float,
    parameters: int,
    largest: int,
    measured: Memory | None = None,
) -> Refusal:
    """Not enough memory, with the batch size, preset, method or size of base model that would fit."""
    says = Sentence(
        gettext_noop("Not enough memory: this run needs about %(needed)s MiB and %(available)s MiB are free."),
        needed=round(needed),
        available=round(available),
    )
    fits = None
    if measured is not None:
        fits = (
            _smaller_batch(spec, available, largest, measured)
            or _quick_preset(spec, available, largest, measured)
            or _lora(spec, available, needed, parameters)
        )
    if fits is None:
        # Both grow with the weights, or nearly so.
        fits = Sentence(
            gettext_noop(
                "A base model of at most about %(most)s million parameters would fit; this one has %(count)s."
            ),
            most=int(parameters * available / needed / 1e6),
            count=round(parameters / 1e6),
        )
    return Refusal("memory", says, fits)


def _smaller_batch(spec: TrainingSpec, available: float, largest: int, measured: Memory) -> Sentence | None:
    size = spec.batch_size // 2
    while size:
        if measured.of(measured.line, largest * size / spec.batch_size) <= available:
            template = gettext_noop("Rows computed at once: %(size)s instead of %(now)s would fit, and learn the same.")
            return Sentence(template, size=size, now=spec.batch_size)
        size //= 2
    return None


def _quick_preset(spec: TrainingSpec, available: float, largest: int, measured: Memory) -> Sentence | None:
    if measured.upper_half is None or measured.of(measured.upper_half, largest) > available:
        return None
    return Sentence(gettext_noop("The preset quick, which trains the upper half of the layers, would fit."))


def _lora(spec: TrainingSpec, available: float, needed: float, parameters: int) -> Sentence | None:
    """LoRA keeps no gradient and no moment of the weights: their three copies are what it saves at the least."""
    without = needed - MEMORY_MARGIN * 3 * parameters * 4 / _MIB
    if spec.method != "full" or without > available:
        return None
    template = gettext_noop("LoRA instead of full fine-tuning needs at most about %(without)s MiB, which would fit.")
    return Sentence(template, without=round(without))
