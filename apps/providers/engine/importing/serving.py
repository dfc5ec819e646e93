"""From a checked folder to folders that are served: the tokenizer made whole, an adapter merged, CTranslate2, proof."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.chat import PLAIN_CHAT_TEMPLATE, ChatError, ChatTokenizer, build_gpt2_tokenizer
from apps.providers.engine.importing.errors import ImportRefused
from apps.providers.engine.importing.files import Source, read_object
from apps.providers.engine.inference.backends.base import Backend, Batch
from apps.providers.engine.inference.catalogue import CONTEXT_KEYS, FALLBACK_CONTEXT
from apps.providers.engine.inference.sequence import Sampling
from apps.providers.engine.messages import Message

#: Compared between the form that is served and transformers, greedily.
PROBES = ("The capital of France is", "12 Elm St\nApt 4, 12345-6789", "Grüße! Write one short sentence.")
PROBE_TOKENS = 16
Phase = Callable[[str], None]


def prepare(source: Source, result: Path, *, base: Path | None, threads: int, phase: Phase) -> dict[str, Any]:
    """Fill `result` with what is trained and served, and describe it. Raises ImportRefused when it cannot be opened."""
    result.mkdir(parents=True)
    if source.kind == "adapter":
        if base is None:
            raise ImportRefused("no_base", gettext_noop("An adapter needs its base model, and none was named."))
        phase("merge")
        whole = result / "merged"
        shutil.copytree(source.folder, result / "adapter", copy_function=_link_or_copy)
        merge_adapter(base, result / "adapter", whole)
    else:
        whole = result / "hf"
        shutil.copytree(source.folder, whole, copy_function=_link_or_copy)
        complete_tokenizer(whole)
    config = read_object(whole / "config.json")
    tokenizer = _tokenizer(whole, config)
    phase("convert")
    reason = convert_to_ct2(whole, result / "ct2", tokenizer)
    phase("prove")
    proof = prove(whole, None if reason else result / "ct2", tokenizer, threads=threads)
    if reason is None and not proof["equal"]:
        reason = "its greedy answers differ from those of transformers"
    if reason is not None:
        shutil.rmtree(result / "ct2", ignore_errors=True)
    return {
        "architecture": str((config.get("architectures") or [config.get("model_type")])[0]),
        "context_length": next((int(config[key]) for key in CONTEXT_KEYS if config.get(key)), FALLBACK_CONTEXT),
        "backend": "transformers" if reason else "ctranslate2",
        "not_converted": reason or "",
        "proof": proof,
        "chat_template": tokenizer.template_source,
        "stop_token": tokenizer.stop_token,
    }


def complete_tokenizer(folder: Path) -> None:
    """Write down what GPT-2's folders leave to the library: tokenizer.json, the end token, the plain chat template."""
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    if not (folder / "tokenizer.json").is_file() and vocabulary.is_file() and merges.is_file():
        # Before the folder's own files are changed: they may be linked to where they came from.
        for name in ("tokenizer_config.json", "chat_template.jinja"):
            (folder / name).unlink(missing_ok=True)
        build_gpt2_tokenizer(vocab=vocabulary, merges=merges, destination=folder)
    path = folder / "tokenizer_config.json"
    settings = read_object(path) if path.is_file() else {}
    token = settings.get("eos_token") or _special_eos(folder) or _eos_by_id(folder)
    if token and not settings.get("eos_token"):
        _write(path, json.dumps({**settings, "eos_token": token}, indent=2, ensure_ascii=False) + "\n")
    if not (folder / "chat_template.jinja").is_file() and not isinstance(settings.get("chat_template"), str):
        _write(folder / "chat_template.jinja", PLAIN_CHAT_TEMPLATE)


def _special_eos(folder: Path) -> Any:
    path = folder / "special_tokens_map.json"
    return read_object(path).get("eos_token") if path.is_file() else None


def _eos_by_id(folder: Path) -> str | None:
    """The end token that the model's configuration names by number."""
    from tokenizers import Tokenizer

    number = read_object(folder / "config.json").get("eos_token_id")
    number = number[0] if isinstance(number, list) and number else number
    if not isinstance(number, int) or not (folder / "tokenizer.json").is_file():
        return None
    found: str | None = Tokenizer.from_file(str(folder / "tokenizer.json")).id_to_token(number)
    return found


def _write(path: Path, text: str) -> None:
    """Never into a file that is linked from elsewhere."""
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")


def _tokenizer(folder: Path, config: dict[str, Any]) -> ChatTokenizer:
    try:
        tokenizer = ChatTokenizer.load(folder)
        tokenizer.render_prompt([Message("user", PROBES[0])])
    except ChatError as error:
        raise ImportRefused("not_a_model", gettext_noop("The tokenizer cannot be used: %(why)s"), why=error) from error
    size = config.get("vocab_size")
    if isinstance(size, int) and tokenizer.vocabulary_size > size:
        raise ImportRefused(
            "not_a_model",
            gettext_noop("The tokenizer knows %(tokens)d tokens and the model %(size)d: they do not belong together."),
            tokens=tokenizer.vocabulary_size,
            size=size,
        )
    return tokenizer


def merge_adapter(base: Path, adapter: Path, destination: Path) -> None:
    """Add a PEFT adapter to its base and save both as one float32 model with the base's tokenizer."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            str(base), dtype=torch.float32, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
        merged = PeftModel.from_pretrained(model, str(adapter)).eval().merge_and_unload(safe_merge=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ImportRefused(
            "no_base",
            gettext_noop("The adapter does not fit the base model that was chosen: %(error)s"),
            error=str(error).splitlines()[0][:300],
        ) from error
    tokenizer = ChatTokenizer.load(base)
    destination.mkdir(parents=True)
    merged.save_pretrained(str(destination), safe_serialization=True)
    tokenizer.save(base, destination)


def convert_to_ct2(source: Path, destination: Path, tokenizer: ChatTokenizer) -> str | None:
    """Convert to CTranslate2 in float32. Returns why it could not be, and then leaves nothing."""
    from ctranslate2.converters import TransformersConverter

    try:
        TransformersConverter(str(source)).convert(str(destination), quantization="float32", force=True)
    except Exception as error:
        # Whatever the converter makes of an architecture that it does not know: transformers serves it, and says why.
        shutil.rmtree(destination, ignore_errors=True)
        return f"CTranslate2 cannot convert it: {type(error).__name__}: {str(error)[:200]}"
    tokenizer.save(source, destination)
    return None


def prove(whole: Path, converted: Path | None, tokenizer: ChatTokenizer, *, threads: int) -> dict[str, Any]:
    """Greedy answers of both forms to the same prompts, through the code that serves them."""
    from apps.providers.engine.inference.backends.ctranslate2 import CTranslate2Backend
    from apps.providers.engine.inference.backends.transformers import TransformersBackend

    try:
        expected = _answers(TransformersBackend(whole, threads=threads), tokenizer)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ImportRefused(
            "not_a_model",
            gettext_noop("transformers cannot open the model: %(error)s"),
            error=str(error).splitlines()[0][:300] if str(error) else type(error).__name__,
        ) from error
    served = None if converted is None else _answers(CTranslate2Backend(converted, threads=threads), tokenizer)
    return {
        "prompts": len(PROBES),
        "tokens": sum(map(len, expected)),
        "compared": served is not None,
        "equal": served is None or served == expected,
    }


def _answers(backend: Backend, tokenizer: ChatTokenizer) -> list[list[int]]:
    """Greedy ids, one list per probe; one at a time, so that no padding is in play."""
    answers = []
    for probe in PROBES:
        ids: list[int] = []

        def report(_index: int, token_id: int, ids: list[int] = ids) -> bool:
            ids.append(token_id)
            return token_id == tokenizer.stop_id or len(ids) >= PROBE_TOKENS

        prompt = tokenizer.render_prompt([Message("user", probe)]).ids
        backend.generate(Batch((), (prompt,), PROBE_TOKENS, (tokenizer.stop_id,), Sampling()), report)
        answers.append(ids)
    backend.close()
    return answers


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
