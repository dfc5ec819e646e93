"""Repeats of a measurement and of its peer, and how they are printed."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from time import perf_counter

from benchmarks import machine


@dataclass(frozen=True)
class Pair:
    """One repeat: the product's figure and the peer's, measured one right after the other, in the same unit."""

    ours: float
    peer: float

    @property
    def ratio(self) -> float:
        return self.ours / self.peer


def options(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--repeats", type=int, default=3, help="how often both sides are measured, in turn")
    return parser


class Turns:
    """Who is measured first: the product and the peer in turn, so that neither always finds a warmer machine."""

    def __init__(self) -> None:
        self._ours_first = cycle((True, False))

    def pair(self, ours: Callable[[], float], peer: Callable[[], float]) -> Pair:
        if next(self._ours_first):
            return Pair(ours(), peer())
        measured = peer()
        return Pair(ours(), measured)


def repeated(measure: Callable[[], Pair], repeats: int) -> list[Pair]:
    return [measure() for _ in range(max(1, repeats))]


def spread(values: Sequence[float]) -> str:
    """min / median / max, with as many digits as the size asks for."""
    return " / ".join(_number(value) for value in (min(values), median(values), max(values)))


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def show(title: str, pairs: Sequence[Pair], *, unit: str, ours: str, peer: str) -> None:
    """Four lines: the ratio, both sides, and the load at the end."""
    print(f"{title} ({len(pairs)} repeats, min / median / max)")
    print(f"  {ours}: {spread([pair.ours for pair in pairs])} {unit}")
    print(f"  {peer}: {spread([pair.peer for pair in pairs])} {unit}")
    print(f"  ratio: {spread([pair.ratio for pair in pairs])}; load now {machine.load()}", flush=True)


def seconds_of(work: Callable[[], object]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started
