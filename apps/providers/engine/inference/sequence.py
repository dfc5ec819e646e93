"""One request on its way through the batches: its tokens so far, its text, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from apps.providers.engine.inference.errors import ApiError

REPLACEMENT = "\ufffd"


class Tokenizer(Protocol):
    """What a sequence needs of the chat rendering."""

    def decode(self, ids: list[int]) -> str: ...


@dataclass(slots=True)
class Timing:
    """What one answer took, in seconds of wall time.

    ``batch_seconds`` is the time its batches ran until it ended, ``batch_size`` the sequences of its last batch.
    ``compute_seconds`` is its share: every step's time divided among the sequences still running, so that the
    shares of a batch add up to the time the batch ran. ``first_piece_queue_seconds`` is the part of ``queue_seconds``
    that lay before the first piece of a streamed answer; a sequence that gave way waits again after it.
    """

    queue_seconds: float = 0.0
    first_piece_queue_seconds: float | None = None
    batch_seconds: float = 0.0
    batch_size: int = 0
    compute_seconds: float = 0.0
    cached_prompt_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; part of what makes two requests fit one batch. Temperature 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0


@dataclass(eq=False, slots=True)
class Sequence:
    """A prompt and its growing answer.

    ``accept`` runs in the thread of the batch; everything else on the event loop. ``wake`` must be safe to call
    from any thread; it says that ``take_delta``, ``done`` or ``error`` changed.
    """

    request_id: str
    model: str
    prompt_ids: tuple[int, ...]
    prefix_length: int
    max_tokens: int
    sampling: Sampling
    stop_ids: frozenset[int]
    stop: tuple[str, ...]
    tokenizer: Tokenizer
    wake: Callable[[], None]
    stream: bool = False
    output_ids: list[int] = field(default_factory=list)
    text: str = ""
    finish_reason: Literal["stop", "length"] | None = None
    error: ApiError | None = None
    cancelled: bool = False
    timing: Timing = field(default_factory=Timing)
    waiting_since: float = 0.0
    _emitted: int = 0

    @property
    def done(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.finish_reason is not None or self.error is not None or self.cancelled

    @property
    def remaining(self) -> int:
        """New tokens that it may still generate."""
        return self.max_tokens - len(self.output_ids)

    @property
    def prefix(self) -> tuple[int, ...]:
        """The leading part of the prompt that other requests are likely to share."""
        return self.prompt_ids[: self.prefix_length]

    def accept(self, token_id: int) -> bool:
        """Take the next token of the model; True means that the sequence wants no more."""
        if self.done:
            return True
        self.output_ids.append(token_id)
        if token_id in self.stop_ids or self._has_stop_string():
            self._finish("stop")
        elif len(self.output_ids) >= self.max_tokens:
            self._finish("length")
        elif self.stream:
            self.text = self._decoded()
            self.wake()
        return self.done

    def fail(self, error: ApiError) -> None:
        """End without an answer."""
        if not self.done:
            self.error = error
            self.wake()

    def take_delta(self) -> str:
        """The text that is new since the last call and can no longer change."""
        text = self.text
        end = len(text) if self.done else self._stable_length(text)
        delta = text[self._emitted : end]
        if delta and self.timing.first_piece_queue_seconds is None:
            self.timing.first_piece_queue_seconds = self.timing.queue_seconds
        self._emitted = max(self._emitted, end)
        return delta

    def _finish(self, reason: Literal["stop", "length"]) -> None:
        self.text = self._up_to_stop_string(self._decoded())
        self.finish_reason = reason
        self.wake()

    def _decoded(self) -> str:
        return self.tokenizer.decode([token_id for token_id in self.output_ids if token_id not in self.stop_ids])

    def _has_stop_string(self) -> bool:
        if not self.stop:
            return False
        text = self._decoded()
        return any(item in text for item in self.stop)

    def _up_to_stop_string(self, text: str) -> str:
        cuts = [text.index(item) for item in self.stop if item in text]
        return text[: min(cuts)] if cuts else text

    def _stable_length(self, text: str) -> int:
        """How much may be shown: not half of a character, and nothing that may turn into a stop string."""
        end = len(text.rstrip(REPLACEMENT))
        for item in self.stop:
            for size in range(min(len(item) - 1, end), 0, -1):
                if text[:end].endswith(item[:size]):
                    end -= size
                    break
        return end
