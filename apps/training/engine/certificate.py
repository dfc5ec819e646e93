"""Proof that what is served is what was trained: the same prompt ids, the same stop token, the same probabilities."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.chat import ChatTokenizer
from apps.providers.engine.messages import Message
from apps.training.engine.checkpoint import hash_files
from apps.training.engine.data import EncodedRow, Row, make_batch
from apps.training.engine.errors import TrainingError
from apps.training.engine.job import Job
from apps.training.engine.report import free_memory

LogProbabilities = dict[str, list[float]]


def model_log_probabilities(model: Any, rows: Sequence[EncodedRow], *, pad_id: int) -> LogProbabilities:
    """Natural log-probability of each trained token by row id, computed in float32, one row at a time."""
    import torch

    from apps.training.engine.model import token_losses

    was_training = model.training
    model.eval()
    result: LogProbabilities = {}
    with torch.no_grad():
        for row in rows:
            nll, _right = token_losses(model, make_batch([row], pad_id=pad_id), plain_head=False, precision="float32")
            result[row.id] = [-float(value) for value in nll]
    model.train(was_training)
    return result


def ct2_log_probabilities(folder: Path, rows: Sequence[EncodedRow], *, threads: int) -> LogProbabilities:
    """The same from a CTranslate2 folder, through the vocabulary strings that serving uses."""
    import ctranslate2

    tokenizer = ChatTokenizer.load(folder)
    generator = ctranslate2.Generator(str(folder), device="cpu", compute_type="float32", intra_threads=threads)
    result: LogProbabilities = {}
    for row in rows:
        # 0: however long; by default CTranslate2 cuts the input at 1,024 tokens, without a word.
        scored = generator.score_batch([tokenizer.tokens(row.ids)], max_input_length=0)[0]
        result[row.id] = [float(value) for value in scored.log_probs[row.prompt_length - 1 :]]
    return result


def certify(job: Job, folder: Path, trained: LogProbabilities, *, threads: int) -> dict[str, Any]:
    """Compare every exported form with the trained model on ``certify_rows`` rows and describe what was found.

    ``folder`` holds merged/, ct2/ and, for LoRA, adapter/. A difference is no error here: see ``passed``, ``problems``.
    """
    rows = certified_rows(job)
    measured = {"trained": trained, **_exported(job, folder, [encoded for _row, encoded in rows], threads)}
    examples = [_example(job, folder, row, encoded, measured) for row, encoded in rows]
    largest = max(example["largest_difference"] for example in examples)
    problems = [f'Row "{example["id"]}": {text}' for example in examples for text in example.pop("problems")]
    if largest > job.spec.certify_tolerance:
        problems.append(
            f"A token's log-probability differs by {largest:.3g}, which is more than {job.spec.certify_tolerance}."
        )
    return {
        "schema": "llmopt.certificate/1",
        "passed": not problems,
        "problems": problems,
        "spec_sha256": job.spec.sha256(),
        "stop_token": job.tokenizer.stop_token,
        "stop_id": job.tokenizer.stop_id,
        "chat_template_sha256": hashlib.sha256(job.tokenizer.template.encode()).hexdigest(),
        "forms": list(measured),
        "tolerance": job.spec.certify_tolerance,
        "tolerance_unit": "nats, largest difference of any answer token's log-probability from the trained model's",
        "largest_difference": largest,
        "examples": examples,
        "files": hash_files(folder),
    }


def verify(folder: Path) -> list[str]:
    """What has changed in a result folder since it was certified, as sentences; empty when nothing has."""
    path = folder / "certificate.json"
    if not path.is_file():
        return ["certificate.json is missing."]
    try:
        certificate = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return ["certificate.json cannot be read."]
    problems = list(certificate["problems"])
    found = {name: sha for name, sha in hash_files(folder).items() if name not in ("certificate.json", "summary.json")}
    for name in sorted(certificate["files"].keys() | found.keys()):
        if name not in found:
            problems.append(f"{name} is missing.")
        elif certificate["files"].get(name) != found[name]:
            problems.append(f"{name} is not the file that was certified.")
    return problems


def certified_rows(job: Job) -> list[tuple[Row, EncodedRow]]:
    """The rows that are checked: the sample rows, then the first validation rows, ``certify_rows`` in all."""
    from apps.training.engine.data import read_rows
    from apps.training.engine.spec import resolve

    rows = {row.id: row for row in read_rows(resolve(job.run_dir, job.spec.validation_rows), what="validation")}
    encoded = {row.id: row for row in job.validation}
    ids = dict.fromkeys([row.id for row in job.samples] + list(rows))
    return [(rows[row_id], encoded[row_id]) for row_id in list(ids)[: job.spec.certify_rows]]


def _exported(job: Job, folder: Path, rows: list[EncodedRow], threads: int) -> dict[str, LogProbabilities]:
    from apps.training.engine.export import open_adapter
    from apps.training.engine.model import load_base

    pad_id = job.tokenizer.pad_id
    forms: dict[str, LogProbabilities] = {}
    if (folder / "adapter").is_dir():
        forms["reloaded"] = model_log_probabilities(open_adapter(job.base, folder / "adapter"), rows, pad_id=pad_id)
        free_memory()
    forms["merged"] = model_log_probabilities(load_base(folder / "merged"), rows, pad_id=pad_id)
    free_memory()
    if (folder / "ct2" / "model.bin").is_file():
        forms["converted"] = ct2_log_probabilities(folder / "ct2", rows, threads=threads)
    return forms


def _example(
    job: Job, folder: Path, row: Row, encoded: EncodedRow, measured: dict[str, LogProbabilities]
) -> dict[str, Any]:
    trained = measured["trained"][encoded.id]
    differences = [
        max(abs(a - b) for a, b in zip(trained, values[encoded.id], strict=True)) for values in measured.values()
    ]
    prompt = list(encoded.ids[: encoded.prompt_length])
    problems = []
    for name in ("adapter", "merged", "ct2"):
        if not (folder / name).is_dir():
            continue
        served = ChatTokenizer.load(folder / name)
        if list(served.render_prompt(row.messages).ids) != prompt:
            problems.append(f"the prompt ids served from {name}/ are not those that were trained.")
        if served.stop_id != encoded.ids[-1]:
            problems.append(f"serving from {name}/ stops at another token than the one trained last.")
    if _transformers_prompt(folder / "merged", row.messages) != prompt:
        problems.append("transformers renders the prompt of merged/ differently.")
    return {
        "id": encoded.id,
        "prompt_ids": prompt,
        "trained_tokens": encoded.trained_tokens,
        "last_trained_id": encoded.ids[-1],
        "log_probability": {name: sum(values[encoded.id]) for name, values in measured.items()},
        "largest_difference": max(differences),
        "problems": problems,
    }


def _transformers_prompt(folder: Path, messages: Sequence[Message]) -> list[int]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    chat = [{"role": message.role, "content": message.content} for message in messages]
    ids: Any = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, tokenize=True, return_dict=False, sanitize_control_tokens=True
    )
    return [int(i) for i in ids]


def require_passed(certificate: dict[str, Any]) -> None:
    """Raise TrainingError when a certificate names a problem: a model that differs from the trained one is not kept."""
    if not certificate["passed"]:
        found = " ".join(certificate["problems"])
        raise TrainingError(
            "certificate", gettext_noop("The exported model is not the trained one. %(found)s"), found=found
        )
