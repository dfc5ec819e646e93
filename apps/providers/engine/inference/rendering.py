"""From a checked request to a sequence: the model's own chat rendering, and the refusal of prompts that do not fit."""

from __future__ import annotations

import json
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable

from apps.providers.engine.chat import ChatError, ChatTokenizer
from apps.providers.engine.inference.catalogue import ModelFolder
from apps.providers.engine.inference.errors import ApiError
from apps.providers.engine.inference.sequence import Sampling, Sequence
from apps.providers.engine.inference.wire import ChatRequest


class Renderer:
    """Keeps the tokenizers of the last few models. Safe to share between threads."""

    def __init__(self, *, limit: int = 4) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._tokenizers: OrderedDict[str, tuple[ModelFolder, ChatTokenizer]] = OrderedDict()

    def sequence(self, model: ModelFolder, request: ChatRequest, *, wake: Callable[[], None]) -> Sequence:
        """The sequence for a request; raises ``ApiError`` when the conversation cannot be rendered or is too long."""
        tokenizer = self._tokenizer(model)
        try:
            prompt = tokenizer.render_prompt(request.messages)
        except ChatError as error:
            raise ApiError(400, "invalid_messages", str(error), param="messages") from error
        _check_length(len(prompt.ids), request.max_tokens, model)
        return Sequence(
            request_id=f"chatcmpl-{uuid.uuid4().hex}",
            model=model.id,
            prompt_ids=prompt.ids,
            prefix_length=prompt.prefix_length,
            max_tokens=request.max_tokens,
            sampling=Sampling(request.temperature, request.top_p if request.temperature > 0 else 1.0),
            stop_ids=frozenset({tokenizer.stop_id}),
            stop=request.stop,
            tokenizer=tokenizer,
            wake=wake,
            stream=request.stream,
        )

    def _tokenizer(self, model: ModelFolder) -> ChatTokenizer:
        with self._lock:
            known = self._tokenizers.get(model.id)
            if known is not None and known[0] == model:
                self._tokenizers.move_to_end(model.id)
                return known[1]
        # Beside the lock: loading renders a conversation, and no other model waits for what a template makes of it.
        loaded = _load(model)
        with self._lock:
            self._tokenizers[model.id] = (model, loaded)
            self._tokenizers.move_to_end(model.id)
            while len(self._tokenizers) > self._limit:
                self._tokenizers.popitem(last=False)
        return loaded


def _load(model: ModelFolder) -> ChatTokenizer:
    try:
        tokenizer = ChatTokenizer.load(model.folder)
    except ChatError as error:
        raise ApiError(500, "model_broken", f"Model {model.id} cannot be served: {error}") from error
    if model.backend == "ctranslate2":
        _check_vocabulary(model, tokenizer)
    return tokenizer


def _check_vocabulary(model: ModelFolder, tokenizer: ChatTokenizer) -> None:
    """CTranslate2 takes tokens by name and reads an unknown name as *unknown*, silently; so the names must agree."""
    names = json.loads((model.folder / "vocabulary.json").read_text(encoding="utf-8"))
    expected = tokenizer.tokens(range(tokenizer.vocabulary_size))
    if names[: len(expected)] != expected:
        message = f"Model {model.id} cannot be served: its vocabulary is not that of its tokenizer. Convert it again."
        raise ApiError(500, "model_broken", message)


def _check_length(prompt_tokens: int, max_tokens: int, model: ModelFolder) -> None:
    if prompt_tokens + max_tokens > model.context_length:
        message = (
            f"{model.id} holds {model.context_length} tokens. The messages take {prompt_tokens} and the answer may "
            f"take {max_tokens}: shorten the messages or lower max_tokens."
        )
        raise ApiError(400, "context_length_exceeded", message, param="messages")
