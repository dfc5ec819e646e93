"""Before the first step: what the processor can do, how long real steps take, and so which precision and how long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.training.engine.chosen import keep_chosen, read_chosen
from apps.training.engine.data import EncodedRow, make_batch, split
from apps.training.engine.model import token_losses

# bfloat16 changes the result a little, so it has to be worth it: at most this share of float32's time.
_WORTH_IT = 0.75
_TIMED_STEPS = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """The precision of a run, why, and the seconds per timed pass by precision (None: not timed)."""

    precision: str
    reason: str
    step_seconds: dict[str, float | None]
    tokens_per_second: float


def cpu_capability() -> str:
    """PyTorch's name of the vector instructions in use, with bfloat16 and AMX named where they are."""
    import torch

    checks = {"AVX512_BF16": "_is_avx512_bf16_supported", "AMX": "_is_amx_tile_supported"}
    extras = [name for name, check in checks.items() if _has(check)]
    return " + ".join([torch.backends.cpu.get_cpu_capability(), *extras])


def choose_precision(
    model: Any, rows: Sequence[EncodedRow], *, wanted: str, batch_size: int, pad_id: int, plain_head: bool,
    clock: Callable[[], float], chosen_file: Path,
) -> Choice:  # fmt: skip
    """Time real forward and backward passes and choose. A choice made before a restart stands: see ``chosen_file``.

    Without instructions for bfloat16 it is not even tried under ``auto``: emulated, one step can take minutes.
    """
    typical = split(sorted(rows, key=lambda row: len(row.ids)), batch_size)
    part = typical[len(typical) // 2]
    tokens = sum(len(row.ids) for row in part)

    def seconds(precision: str) -> float:
        return _time_steps(model, part, pad_id=pad_id, plain_head=plain_head, precision=precision, clock=clock)

    timed: dict[str, float | None] = {"float32": None, "bfloat16": None}
    before = read_chosen(chosen_file).get("precision")
    if before is not None:
        precision, reason = before, "chosen when this run first started"
        timed[precision] = seconds(precision)
    elif wanted != "auto":
        precision, reason = wanted, "asked for in spec.json"
        timed[precision] = seconds(precision)
    else:
        plain = timed["float32"] = seconds("float32")
        if _has("_is_avx512_bf16_supported") or _has("_is_amx_tile_supported"):
            timed["bfloat16"] = seconds("bfloat16")
        precision, reason = _decide(plain, timed["bfloat16"])
    keep_chosen(chosen_file, precision=precision)
    return Choice(precision, reason, timed, tokens / max(timed[precision] or 0.0, 1e-9))


def _decide(float32: float, bfloat16: float | None) -> tuple[str, str]:
    if bfloat16 is None:
        return "float32", "this processor has no bfloat16 instructions"
    if bfloat16 <= _WORTH_IT * float32:
        return "bfloat16", f"a pass takes {bfloat16:.2f} s in bfloat16 and {float32:.2f} s in float32"
    return "float32", f"bfloat16 is not clearly faster: {bfloat16:.2f} s a pass against {float32:.2f} s"


def _time_steps(
    model: Any, rows: Sequence[EncodedRow], *, pad_id: int, plain_head: bool, precision: str, clock: Callable[[], float]
) -> float:
    """Seconds of forward and backward over ``rows``: the faster of two passes after a first that warms up.

    The faster, because a busy neighbour only ever adds time. No weight is changed.
    """
    import torch

    batch = make_batch(rows, pad_id=pad_id)
    taken: list[float] = []
    with torch.random.fork_rng(devices=[]):
        for _ in range(_TIMED_STEPS):
            begin = clock()
            nll, _right = token_losses(model, batch, plain_head=plain_head, precision=precision)
            nll.mean().backward()
            taken.append(clock() - begin)
            model.zero_grad(set_to_none=True)
    return min(taken[1:])


def _has(name: str) -> bool:
    import torch

    check = getattr(torch.cpu, name, None)
    return bool(check()) if check is not None else False
