"""Answers of the model in training to a few validation rows: one left-padded greedy batch with cached keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apps.providers.engine.chat import ChatTokenizer
from apps.training.engine.data import EncodedRow


def generate(model: Any, rows: Sequence[EncodedRow], tokenizer: ChatTokenizer, *, max_new_tokens: int) -> list[str]:
    """The greedy answer to each row's prompt, cut at the stop token or after ``max_new_tokens``.

    Computed in float32, as the model will be served (and autocast would convert every weight for every token).
    Draws no random number and leaves the model in the mode it was in, so training goes on as if nothing had happened.
    """
    import torch
    from transformers import GenerationConfig

    length = max(row.prompt_length for row in rows)
    input_ids = torch.full((len(rows), length), tokenizer.pad_id, dtype=torch.int64)
    attention_mask = torch.zeros((len(rows), length), dtype=torch.int64)
    for number, row in enumerate(rows):
        input_ids[number, length - row.prompt_length :] = torch.tensor(row.ids[: row.prompt_length])
        attention_mask[number, length - row.prompt_length :] = 1
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=tokenizer.stop_id,
        pad_token_id=tokenizer.pad_id,
        use_cache=True,
    )
    was_training = model.training
    model.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        out = model.generate(input_ids=input_ids, attention_mask=attention_mask, generation_config=config)
    model.train(was_training)
    return [tokenizer.decode(ids[length:].tolist()) for ids in out]
