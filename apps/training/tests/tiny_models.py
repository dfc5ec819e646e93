"""Run directories around random models of a few hundred kB, and a way to be killed at a chosen moment."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from apps.core.tests.warm import SPAWNER
from apps.providers.tests.tiny_tokenizer import chatml_tokenizer, gpt2_tokenizer
from apps.training.engine.events import EventLog
from apps.training.engine.job import load_job
from apps.training.engine.report import Reporter

STREETS = ("Elm Street", "Oak Avenue", "5th Street", "Lake Road", "Old Mill Lane")


def build_model(folder: Path, kind: str, *, positions: int = 128, width: int = 32) -> Path:
    """A random Llama (no dropout) or GPT-2 (with its usual dropout) of about 40,000 parameters, with its tokenizer."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    if kind == "gpt2":
        gpt2_tokenizer(folder)
        size = len(json.loads((folder / "encoder.json").read_text(encoding="utf-8")))
        config = GPT2Config(vocab_size=size, n_positions=positions, n_embd=width, n_layer=2, n_head=2,
                            bos_token_id=size - 1, eos_token_id=size - 1)  # fmt: skip
        GPT2LMHeadModel(config).save_pretrained(str(folder))
    else:
        chatml_tokenizer(folder)
        size = len(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
        llama = LlamaConfig(vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                             num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=positions,
                             bos_token_id=1, eos_token_id=2, pad_token_id=2, tie_word_embeddings=True)  # fmt: skip
        LlamaForCausalLM(llama).save_pretrained(str(folder))
    return folder


def row(number: int, **changes: Any) -> dict[str, Any]:
    street = STREETS[number % len(STREETS)]
    content = f"{number} {street}" + ", Springfield" * (number % 3)
    answer = f'{{"number":"{number}","street":"{street}"}}'
    return {"id": f"r{number}", "messages": [{"role": "user", "content": content}], "answer": answer} | changes


def write_run(run_dir: Path, base: Path, *, train: int = 20, validation: int = 5, **spec: Any) -> Path:
    """A run directory with ``train`` + ``validation`` rows; nothing in it depends on the time of day."""
    run_dir.mkdir(parents=True)
    write_rows(run_dir / "train.jsonl", [row(number) for number in range(train)])
    write_rows(run_dir / "validation.jsonl", [row(number) for number in range(100, 100 + validation)])
    settings: dict[str, Any] = {
        "base_model": str(base), "batch_size": 4, "max_length": 120, "precision": "float32", "threads": 1,
        "max_new_tokens": 8, "certify_rows": 3, "seed": 3, "checkpoint_every_seconds": 0, "checkpoint_every_steps": 3,
        "lora": {"r": 4, "alpha": 8, "dropout": 0.1},
    }  # fmt: skip
    (run_dir / "spec.json").write_text(json.dumps(settings | spec), encoding="utf-8")
    return run_dir


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(item) + "\n" for item in rows), encoding="utf-8")


def train_here(run_dir: Path, *, stop: Any = lambda: None) -> Any:
    """Run the training loop alone (no export) in this process."""
    import torch

    from apps.training.engine.loop import train

    torch.set_num_threads(1)
    log = EventLog(run_dir / "events.jsonl")
    report = Reporter(log, clock=time.monotonic)
    try:
        return train(load_job(run_dir), report, should_stop=stop, clock=time.monotonic)
    finally:
        report.close()
        log.close()


def in_process(target: Any, *arguments: Any) -> int:
    """Run ``target`` in a fresh process and return its exit code (minus the signal's number if one killed it)."""
    process = SPAWNER.Process(target=target, args=arguments)
    process.start()
    process.join(60)
    assert process.exitcode is not None, "the process did not end"
    return process.exitcode


def train_until_killed(run_dir: Path, steps: int) -> None:
    """Train and die by SIGKILL when the loop asks for the ``steps + 1``-th time whether it should stop."""
    asked = 0

    def kill_when_due() -> None:
        nonlocal asked
        asked += 1
        if asked > steps:
            os.kill(os.getpid(), signal.SIGKILL)

    train_here(run_dir, stop=kill_when_due)


def train_until_killed_while_saving(run_dir: Path, saves: int) -> None:
    """Train and die by SIGKILL inside the ``saves``-th checkpoint, before it gets its name."""
    from apps.training.engine import checkpoint

    publish, done = checkpoint.publish, 0

    def kill_when_due(writing: Path, final: Path) -> None:
        nonlocal done
        done += 1
        if done == saves:
            os.kill(os.getpid(), signal.SIGKILL)
        publish(writing, final)

    checkpoint.publish = kill_when_due
    train_here(run_dir)


def run_engine(run_dir: Path) -> None:
    """The engine as the host starts it, in a process that has its libraries loaded already."""
    from apps.training.engine.__main__ import main

    raise SystemExit(main([str(run_dir)]))


def last_weights(run_dir: Path) -> bytes:
    """The bytes of the weights in the newest checkpoint."""
    newest = max((run_dir / "checkpoints").glob("step-*"))
    return (newest / "weights.safetensors").read_bytes()


def copy_run(run_dir: Path, destination: Path) -> Path:
    shutil.copytree(run_dir, destination)
    return destination
