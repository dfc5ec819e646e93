"""What goes into metering and what comes out of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from apps.providers.engine.clients.base import GenerateRequest
from apps.providers.engine.messages import ToolCall
from apps.providers.models import LanguageModel

# The error of a call that failed for reasons which are not the candidate's: its pair is dropped, not scored as wrong.
INFRASTRUCTURE = "infrastructure"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a call needs to know of a model, so that no row has to be read for each call."""

    id: int
    kind: str
    served_name: str
    revision: str
    artifact: str
    # Empty and None for what runs here.
    provider: str = ""
    provider_model: str = ""
    provider_key_id: int | None = None

    @classmethod
    def of(cls, model: LanguageModel) -> Self:
        return cls(
            model.pk,
            model.kind,
            model.served_name,
            model.revision,
            model.artifact,
            model.provider,
            model.provider_model,
            model.provider_key_id,
        )

    @property
    def call_name(self) -> str:
        """What a request has to call the model."""
        return self.provider_model or self.served_name


@dataclass(frozen=True, slots=True)
class MeteredResult:
    """One answer with its cost, or the reason why there is none.

    `error` is empty, the code of the candidate's own failure (`context_too_long`, `content_filter`, `bad_request`), or
    `infrastructure`. For an answer from the cache `cost_nanousd` is 0 and `latency_ms` the time of the look-up;
    `original_cost_nanousd` and `original_latency_ms` are always those of the call that generated the text.
    `latency_ms` is the wall time of the attempt without the time that it waited in the queue of a local model, and
    `first_piece_ms` what of it passed until the first piece; None for what was not streamed, or was stored.
    `reservation_id` is that of the last attempt; None for an answer from the cache. `generation_uid` names the ledger
    entry of the answer, for feedback on it; empty where nothing was booked. `language_model_id` is the model that
    answered, and `stands_in` whether that was the fallback. `bounded`: the cost is not known, and its bound is booked.
    """

    text: str = ""
    finish_reason: str = ""
    error: str = ""
    error_text: str = ""
    # The provider's own code of the failure, also where `error` is `infrastructure`.
    error_code: str = ""
    latency_ms: float | None = None
    first_piece_ms: float | None = None
    original_latency_ms: float | None = None
    cost_nanousd: int = 0
    original_cost_nanousd: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_prompt_tokens: int = 0
    reasoning_tokens: int = 0
    compute_seconds: float | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    cached: bool = False
    bounded: bool = False
    generation_uid: str = ""
    language_model_id: int | None = None
    stands_in: bool = False
    reservation_id: int | None = None
    attempts: int = 0
    model_reported: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class MeteredCall:
    """One call to make.

    `purpose` says what for, and is the same for every attempt. `store` runs in the transaction that books the answer
    (or the failure): what it writes exists exactly if the ledger entry does. It must do database work alone.
    `person_id` and `api_key_id` say who spends, and whose budgets hold. `fallback` is asked when the model itself
    cannot be reached; nothing that compares models may have one. `generation_uid` is the id (32 hex digits) that the
    answer's entry gets, where a caller has to name it before there is one; any other call leaves it empty.
    """

    team_id: int
    experiment_id: int | None
    language_model: ModelFacts
    request: GenerateRequest
    purpose: str
    repeat: int = 0
    use_cache: bool = True
    store: Callable[[MeteredResult], None] | None = None
    person_id: int | None = None
    api_key_id: int | None = None
    fallback: ModelFacts | None = None
    generation_uid: str = ""
