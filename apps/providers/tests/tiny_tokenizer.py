"""Small byte-level BPE tokenizers in folders, trained on the spot: one with ChatML turns, one shaped like GPT-2's."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from apps.providers.engine.chat import build_gpt2_tokenizer

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nBe helpful<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_TEXTS = [f"{n} Elm Street, Springfield, IL 627{n:02d} user assistant system helpful colour of" for n in range(40)]


def chatml_tokenizer(folder: Path) -> Path:
    """As SmolLM2's: the token that opens a turn is also the BOS token, the one that ends it also pads."""
    tokenizer = _trained(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>", "unk_token": "<|endoftext|>",
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHATML, encoding="utf-8")
    return folder


def gpt2_tokenizer(folder: Path) -> Path:
    """Built as GPT-2's is: from a vocabulary and merges, without a chat template or a pad token of its own."""
    content = json.loads(_trained([]).to_str())["model"]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = content["vocab"] | {"<|endoftext|>": len(content["vocab"])}
    (folder / "encoder.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in content["merges"]]
    (folder / "vocab.bpe").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    return build_gpt2_tokenizer(vocab=folder / "encoder.json", merges=folder / "vocab.bpe", destination=folder)


def _trained(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=[AddedToken(token, normalized=False, special=True) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXTS, trainer)
    return tokenizer
