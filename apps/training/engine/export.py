"""From a trained model to folders that others can open: PEFT adapter, merged safetensors, CTranslate2.

Each part is built beside its name and renamed when it is whole, so that a run killed here goes on with the next part.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.core.engine.messages import gettext_noop
from apps.training.engine.checkpoint import publish
from apps.training.engine.errors import TrainingError
from apps.training.engine.job import Job

if TYPE_CHECKING:
    from collections.abc import Iterator


def export_adapter(model: Any, job: Job, destination: Path, *, card: str) -> None:
    """Save the adapter as a folder that plain peft opens, with the tokenizer and a model card."""
    with built(destination) as folder:
        model.peft_config["default"].base_model_name_or_path = job.base_name
        model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
        job.tokenizer.save(job.base, folder)
        (folder / "README.md").write_text(card, encoding="utf-8")


def export_full(model: Any, job: Job, destination: Path, *, card: str) -> None:
    """Save a fully fine-tuned model as float32 safetensors with tokenizer and model card."""
    _save_model(model, job, destination, card)


def export_merged(job: Job, adapter: Path, destination: Path, *, card: str) -> None:
    """Open base and saved adapter with plain peft, add the adapter to the weights, save as float32 safetensors."""
    _save_model(open_adapter(job.base, adapter).merge_and_unload(safe_merge=True), job, destination, card)


def open_adapter(base: Path, adapter: Path) -> Any:
    """The saved adapter on its base, in evaluation mode, as plain peft opens it."""
    from peft import PeftModel

    from apps.training.engine.model import load_base

    return PeftModel.from_pretrained(load_base(base), str(adapter)).eval()


def export_ct2(merged: Path, job: Job, destination: Path) -> str | None:
    """Convert the merged model to CTranslate2 float32. Returns why it could not be, for an unknown architecture."""
    with built(destination) as folder:
        problem = convert_to_ct2(merged, folder)
        if problem is not None:
            (folder / "unsupported.json").write_text(json.dumps({"reason": problem}) + "\n", encoding="utf-8")
        job.tokenizer.save(job.base, folder)
    return problem


def convert_to_ct2(source: Path, destination: Path) -> str | None:
    """Write CTranslate2's files (float32) for a folder of safetensors into an existing folder.

    Returns None, or the reason when CTranslate2 does not know the architecture. Raises TrainingError otherwise.
    """
    from ctranslate2.converters import TransformersConverter

    try:
        TransformersConverter(str(source)).convert(str(destination), quantization="float32", force=True)
    except ValueError as error:
        if "No conversion is registered" in str(error) or "not supported" in str(error):
            return str(error)
        raise TrainingError(
            "model", gettext_noop("The merged model cannot be converted to CTranslate2: %(error)s"), error=error
        ) from error
    except NotImplementedError as error:
        return str(error)
    return None


@contextmanager
def built(destination: Path) -> Iterator[Path]:
    """A folder to fill, published under ``destination`` when the block ends without an error."""
    writing = destination.with_name(f".{destination.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    yield writing
    publish(writing, destination)


def model_card(job: Job, *, validation: dict[str, Any] | None, precision: str, kind: str) -> str:
    """README.md of an exported folder: what it is, from what, how trained, how it stops, and what was measured."""
    spec, stop = job.spec, job.tokenizer.stop_token
    method = "full fine-tuning"
    if spec.method == "lora":
        lora = spec.lora
        method = f"LoRA, r = {lora.r}, alpha = {lora.alpha}, dropout = {lora.dropout}, "
        method += f"on {lora.targets}, layers: {lora.layers}"
    lines = [
        "---",
        f"base_model: {json.dumps(job.base_name, ensure_ascii=False)}",
        "library_name: " + ("peft" if kind == "adapter" else "transformers"),
        "---",
        f"# {job.base_name}, fine-tuned ({kind})",
        "",
        f"- Method: {method}; {spec.epochs} epochs, learning rate {spec.learning_rate} ({spec.schedule}), "
        f"{spec.rows_per_step} rows a step, seed {spec.seed}, computed in {precision}, stored in float32",
        f"- Rows: {len(job.train)} for training, {len(job.validation)} for validation",
        f"- Chat template: {_template_text(job)}; stop token `{stop}` (id {job.tokenizer.stop_id})",
        *_restored(job),
        f"- Run: spec SHA-256 `{spec.sha256()}`",
    ]
    if validation is not None:
        lines += [
            "",
            f"Validation ({validation['rows']} rows, teacher-forced): loss {validation['token_loss']:.4f} per token, "
            f"{validation['answer_loss']:.3f} per answer (nats); {validation['answer_accuracy']:.1%} of answers right "
            "in every token.",
        ]
    opening = {
        "adapter": "peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(BASE), ADAPTER)",
        "merged": "transformers.AutoModelForCausalLM.from_pretrained(FOLDER)",
    }[kind]
    lines += ["", f"Open with `{opening}`, render chats with `chat_template.jinja`, generate until `{stop}`.", ""]
    return "\n".join(lines)


def _template_text(job: Job) -> str:
    if job.tokenizer.template_source == "plain":
        return "the base model has none, so a plain `User:` / `Assistant:` template was used and is stored here"
    return "the base model's own"


def _restored(job: Job) -> list[str]:
    path = job.base.parent / "info.json"
    if not path.is_file():
        return []
    note = json.loads(path.read_text(encoding="utf-8")).get("note")
    return [f"- Base weights: {note}"] if isinstance(note, str) else []


def _save_model(model: Any, job: Job, destination: Path, card: str) -> None:
    from transformers import GenerationConfig

    with built(destination) as folder:
        model.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=job.tokenizer.stop_id, pad_token_id=job.tokenizer.pad_id,
            bos_token_id=job.tokenizer.bos_id,
        )  # fmt: skip
        model.save_pretrained(str(folder), safe_serialization=True)
        job.tokenizer.save(job.base, folder)
        (folder / "README.md").write_text(card, encoding="utf-8")
