"""Facts of small reports whose answers are a label, a number, or text: 60 examples, three candidates."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from apps.evaluation.engine.facts import (
    CandidateFacts,
    DatasetFacts,
    ExampleFacts,
    ExperimentFacts,
    OutputFacts,
    ReportFacts,
)
from apps.evaluation.engine.metrics import scoring_for

N, SEED, B = 60, 20261124, 9_999
LABELS = ["billing", "technical  fault", "praise", "never used"]
NOUNS = ["train", "bridge", "river", "\u043c\u043e\u0441\u0442", "caf\u00e9", "\u96e8", "2.5"]
ANSWERS: dict[str, dict[str, Any]] = {
    "label": {"format": "label", "labels": LABELS},
    "number": {"format": "number", "tolerance": 0.1},
    "text": {"format": "text"},
}


def _label(index: int) -> str:
    return LABELS[0] if index % 3 else LABELS[1 + index % 2]


def _number(index: int) -> str:
    return f"{index * 7 % 11 / 4:.2f}"


def _text(index: int) -> str:
    return f"The {NOUNS[index % 7]} of {NOUNS[index * 3 % 7]}, number {index}, is closed."


EXPECTED: dict[str, Callable[[int], str]] = {"label": _label, "number": _number, "text": _text}


def _wrong(format_: str, index: int, chance: random.Random) -> str:
    """Another label, a number near or far, a text with words lost or put in another order; sometimes none at all."""
    right = EXPECTED[format_](index)
    if chance.random() < 0.2:
        return chance.choice(["", "I do not know.", "\U0001f44d"])
    if format_ == "label":
        return chance.choice(LABELS[:3])
    if format_ == "number":
        return f"{float(right) + chance.choice([0.1, -0.1, 0.100001, 3]):.7g}"
    words = right.split()
    chance.shuffle(words)
    return " ".join(words[: chance.randint(1, len(words))])


def answers(format_: str, share: float, seed: int, n: int) -> list[str]:
    chance = random.Random(seed)
    return [
        _wrong(format_, index, chance) if chance.random() < share else f" {EXPECTED[format_](index)}\n"
        for index in range(n)
    ]


def candidate(
    name: str, texts: list[str], *, kind: str = "prompted", cost: int = 1_000, failed: int = 0
) -> CandidateFacts:
    outputs = tuple(
        OutputFacts(
            f"e{index:03}",
            0,
            None if index < failed else text,
            error="infrastructure" if index < failed else None,
            latency_ms=10.0 + index,
            cost_nanousd=cost + index % 5,
        )
        for index, text in enumerate(texts)
    )
    return CandidateFacts(name, kind, f"model of {name}", f"prompt of {name}", outputs)


def again(made: CandidateFacts, texts: list[str]) -> CandidateFacts:
    """The same candidate with a second repeat of every output."""
    second = tuple(replace(output, repeat=1, text=text) for output, text in zip(made.outputs, texts, strict=True))
    return replace(made, outputs=(*made.outputs, *second))


def report_facts(
    format_: str, *candidates: CandidateFacts, n: int = N, answer: Mapping[str, Any] | None = None
) -> ReportFacts:
    """A whole report on the first candidate as the reference, with everything that the contract asks for."""
    answer = answer or ANSWERS[format_]
    scoring = scoring_for(answer)
    reference = candidates[0].name
    return ReportFacts(
        experiment=ExperimentFacts(
            "0193",
            f"Answers of the format {format_}",
            scoring.primary,
            0.05,
            0.05,
            reference,
            tuple((made.name, reference) for made in candidates[1:]),
            metrics=tuple(scoring.metrics),
            answer=answer,
        ),
        dataset=DatasetFacts("abc", 7, 500, 100, n),
        examples=tuple(ExampleFacts(f"e{i:03}", f"input {i}", EXPECTED[format_](i)) for i in range(n)),
        candidates=candidates,
        bootstrap_seed=SEED,
        resamples=B,
        training={"examples": 1, "epochs": 1, "tokens_per_second": 1.0, "seconds": 1.0},
        memory_mib={"peak_pss": 1.0},
    )


def usual(format_: str, *, n: int = N, failed: int = 0) -> tuple[CandidateFacts, ...]:
    """A good reference, a worse candidate, and a constant answer as a baseline."""
    return (
        candidate("tuned", answers(format_, 0.15, 1, n), kind="tuned"),
        candidate("prompted", answers(format_, 0.5, 2, n), failed=failed),
        candidate("most frequent", [EXPECTED[format_](1)] * n, kind="baseline", cost=0),
    )
