"""What a report is computed from: frozen facts, read from the database by someone else."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from apps.evaluation.engine.stats.bootstrap import RESAMPLES

INFRASTRUCTURE = "infrastructure"
DONE = "done"
FAILED = "failed"


@dataclass(frozen=True)
class OutputFacts:
    """One generated text. `error` is None or "infrastructure"; a candidate's own failure is a text that scores wrong.

    `failure` is the code of such a failure (a prompt that could not be made, a refusal), else None. `cost_nanousd` is
    what the call that made the text cost in nano-dollars and `latency_ms` what it took, also where the text came from
    the cache: the next request will not. None where unknown, and the cost also where such a failure cost nothing: a
    candidate must not look cheap for what it refused. `finish_reason` "length" says that the token limit cut it off.
    """

    example: str
    repeat: int
    text: str | None
    error: str | None = None
    failure: str | None = None
    latency_ms: float | None = None
    cost_nanousd: int | None = None
    cached: bool = False
    finish_reason: str | None = None


@dataclass(frozen=True)
class CandidateFacts:
    """One contender; `state` is "done" once every output is stored, and only then it gets figures.

    "failed" is the other end, with the reason in `failure`; any other word means that it has not ended.
    `conditions` are those under which its latencies were measured.
    """

    name: str
    kind: str
    model: str
    prompt: str
    outputs: tuple[OutputFacts, ...] = ()
    cost_assumed: bool = False
    state: str = DONE
    failure: str | None = None
    model_revision: str = ""
    prompt_hash: str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    order_seed: int | None = None
    conditions: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ExampleFacts:
    """One row of the locked test split; its order is the order of units in the bootstrap."""

    id: str
    input: str
    expected: str


@dataclass(frozen=True)
class ExperimentFacts:
    """The question as it was written before the first score. `family` holds (candidate, reference) pairs.

    `looks`: how often the test rows of its dataset were looked at so far; `other_looks` of them by other experiments.
    `answer`: what an answer is, as `Experiment.answer`; it decides what the metrics mean. Empty: JSON.
    """

    uid: str
    name: str
    primary_metric: str
    margin: float
    alpha: float
    reference: str
    family: tuple[tuple[str, str], ...]
    metrics: tuple[str, ...] = ("field_f1", "exact_match", "valid_rate")
    registration_hash: str = ""
    looks: int = 0
    other_looks: int = 0
    answer: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetFacts:
    """The dataset version: content hash, split seed and rows per split."""

    version_hash: str
    split_seed: int | str
    n_train: int
    n_validation: int
    n_test: int


@dataclass(frozen=True)
class ReportFacts:
    """All facts of one report; the mappings are passed through as JSON. `choices`: what was tried on validation."""

    experiment: ExperimentFacts
    dataset: DatasetFacts
    examples: tuple[ExampleFacts, ...]
    candidates: tuple[CandidateFacts, ...]
    bootstrap_seed: int
    resamples: int = RESAMPLES
    training: Mapping[str, object] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    memory_mib: Mapping[str, float | None] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    choices: tuple[Mapping[str, object], ...] = ()
