"""Facts of a small report, put together by hand: 120 addresses, a tuned model, a prompted one, a constant answer."""

import json
import random
from typing import Any

from apps.evaluation.engine.facts import (
    CandidateFacts,
    DatasetFacts,
    ExampleFacts,
    ExperimentFacts,
    OutputFacts,
    ReportFacts,
)
from apps.evaluation.engine.report import build_report

N, SEED, B = 120, 20261124, 999


def expected(index: int) -> str:
    return json.dumps({"number": str(index), "street": f"Oak {index % 7}", "city": "Rome"}, separators=(",", ":"))


EXAMPLES = tuple(ExampleFacts(f"e{index}", f"{index} Oak {index % 7} Rome", expected(index)) for index in range(N))


def noisy(share: float, seed: int) -> list[str]:
    generator = random.Random(seed)
    texts = []
    for index in range(N):
        fields = json.loads(expected(index))
        wrong = {key: (value if generator.random() > share else "?") for key, value in fields.items()}
        texts.append("no answer" if generator.random() < share / 4 else json.dumps(wrong))
    return texts


def candidate(
    name: str, texts: list[str], *, kind: str = "prompted", cost: int = 1_000, failed: int = 0
) -> CandidateFacts:
    outputs = tuple(
        OutputFacts(
            f"e{index}",
            0,
            None if index < failed else text,
            error="infrastructure" if index < failed else None,
            latency_ms=10.0 + index,
            cost_nanousd=cost + index,
        )
        for index, text in enumerate(texts)
    )
    return CandidateFacts(name, kind, f"model of {name}", f"prompt of {name}", outputs)


def facts(*candidates: CandidateFacts, **changes: Any) -> ReportFacts:
    names = [item.name for item in candidates if item.name != "tuned"]
    experiment = ExperimentFacts(
        "0192", "Addresses", "field_f1", 0.05, 0.05, "tuned", tuple((name, "tuned") for name in names)
    )
    return ReportFacts(
        experiment=experiment,
        dataset=DatasetFacts("abc", 7, 500, 100, N),
        examples=EXAMPLES,
        candidates=candidates,
        bootstrap_seed=SEED,
        resamples=B,
        **changes,
    )


TUNED = candidate("tuned", noisy(0.1, 1), kind="tuned")
FEW_SHOT = candidate("few shot", noisy(0.4, 2))
CONSTANT = candidate("most frequent", [expected(0)] * N, kind="baseline", cost=0)


def report(*candidates: CandidateFacts, **changes: Any) -> dict[str, Any]:
    return build_report(facts(*candidates, **changes))


def named(rows: list[dict[str, Any]], **wanted: str) -> dict[str, Any]:
    (row,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return row
