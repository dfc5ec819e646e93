"""transformers with torch: the fallback for architectures that CTranslate2 does not convert. Slower, same answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apps.providers.engine.inference.backends.base import Batch, OnToken


class TransformersBackend:
    """A model opened by transformers in float32; prefixes are not cached."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        self._torch = torch
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
        ).eval()

    def has_prefix(self, prefix: tuple[int, ...]) -> bool:
        return False

    def generate(self, batch: Batch, on_token: OnToken) -> None:
        torch = self._torch
        prompts = [batch.prefix + suffix for suffix in batch.suffixes]
        width = max(map(len, prompts))
        # Padding stands on the left and is masked, so its id does not matter; that of the stop token always exists.
        pad = batch.stop_ids[0]
        ids = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        with torch.inference_mode():
            self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=batch.max_new_tokens,
                eos_token_id=list(batch.stop_ids),
                pad_token_id=pad,
                stopping_criteria=[_report(torch, len(prompts), on_token)],
                **_sampling(batch),
            )

    def close(self) -> None:
        del self._model


def _report(torch: Any, size: int, on_token: OnToken) -> Any:
    """A stopping criterion that hands on each new token and stops the rows that want no more."""
    ended = [False] * size

    def criterion(input_ids: Any, _scores: Any, **_kwargs: Any) -> Any:
        for index, token_id in enumerate(input_ids[:, -1].tolist()):
            if not ended[index]:
                ended[index] = on_token(index, token_id)
        return torch.tensor(ended, device=input_ids.device)

    return criterion


def _sampling(batch: Batch) -> dict[str, Any]:
    if batch.sampling.temperature == 0:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return {
        "do_sample": True,
        "temperature": batch.sampling.temperature,
        "top_p": batch.sampling.top_p,
        "top_k": 0,
    }
