"""Opening a base model, attaching an adapter, and computing logits only where a loss needs them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.core.engine.messages import gettext_noop
from apps.training.engine.errors import TrainingError
from apps.training.engine.spec import LoraSpec, TrainingSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from apps.training.engine.data import Batch


def load_base(folder: Path) -> Any:
    """A causal language model in float32 from a local folder of safetensors; never runs code from the folder."""
    import torch
    from transformers import AutoModelForCausalLM

    if not (folder / "config.json").is_file():
        raise TrainingError("model", gettext_noop("%(folder)s holds no model: config.json is missing."), folder=folder)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=torch.float32,
            attn_implementation="sdpa",
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            "model",
            gettext_noop("The base model in %(folder)s cannot be opened: %(error)s"),
            folder=folder,
            error=error,
        ) from error
    return model


def load_trainable(spec: TrainingSpec, folder: Path) -> Any:
    """The base model, ready to train: with a fresh seeded adapter for LoRA, all weights for full fine-tuning."""
    import torch

    model = load_base(folder)
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is not None and spec.max_length > limit:
        raise TrainingError(
            "spec",
            gettext_noop("max_length is %(length)s, but this model reads at most %(most)s tokens."),
            length=spec.max_length,
            most=limit,
        )
    # With a padding index, torch drops the gradient of that token's embedding, and the pad token may be the stop token.
    model.get_input_embeddings().padding_idx = None
    if spec.method == "full":
        return model
    torch.manual_seed(spec.seed)
    return attach_lora(model, spec.lora)


def attach_lora(model: Any, lora: LoraSpec) -> Any:
    """Attach a LoRA adapter with peft; B starts at zero, so the model answers as before until the first step."""
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    linear = _linear_layers(model)
    targets = sorted({name.rsplit(".", 1)[-1] for name in linear}) if lora.targets == "all-linear" else lora.targets
    targets = [targets] if isinstance(targets, str) else list(targets)
    missing = [name for name in targets if not any(found.rsplit(".", 1)[-1] == name for found in linear)]
    if missing:
        raise TrainingError(
            "spec",
            gettext_noop('spec.json: lora.targets names "%(name)s", which this model does not have.'),
            name=missing[0],
        )
    count = model.config.num_hidden_layers
    layers = _layer_numbers(lora, count)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        layers_to_transform=layers,
        layers_pattern=None if layers is None else _layers_name(model, count),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in linear.values()),
        bias="none",
    )
    return get_peft_model(model, config)


def trainable_parameters(model: Any) -> dict[str, torch.nn.Parameter]:
    """By name, tied weights once, in the model's own order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def lower_half_adapter(model: Any) -> dict[str, torch.nn.Parameter]:
    """Parameters of the adapter below the layers that "upper-half" means, by name."""
    count = model.config.num_hidden_layers
    name = _layers_name(model, count)
    below = tuple(f".{name}.{number}." for number in range(count // 2))
    return {
        full: parameter
        for full, parameter in trainable_parameters(model).items()
        if any(part in full for part in below)
    }


def autocast(precision: str) -> AbstractContextManager[Any]:
    """float32 computes as stored; bfloat16 computes matrix products in bfloat16 over float32 weights."""
    import torch

    if precision == "bfloat16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return nullcontext()


def trained_logits(model: Any, batch: Batch, *, plain_head: bool) -> torch.Tensor:
    """Logits at the trained positions only, float32 (trained tokens, vocabulary).

    The vocabulary projection is a third of a small model's work, and most positions belong to prompts. ``plain_head``
    says that the model's logits are its head applied to its last hidden state and nothing more (see has_plain_head).
    """
    language_model = _language_model(model)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "use_cache": False}
    if not plain_head:
        logits = language_model(**inputs).logits
        return logits.flatten(0, 1)[batch.positions].float()
    hidden = language_model.base_model(**inputs).last_hidden_state
    return language_model.get_output_embeddings()(hidden.flatten(0, 1)[batch.positions]).float()


def has_plain_head(model: Any, batch: Batch) -> bool:
    """Whether the shortcut of trained_logits gives the model's own logits (some models scale or cap them)."""
    import torch

    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            full = trained_logits(model, batch, plain_head=False)
            short = trained_logits(model, batch, plain_head=True)
    except (AttributeError, TypeError):
        return False
    finally:
        model.train(was_training)
    return full.shape == short.shape and bool(torch.allclose(full, short, rtol=1e-4, atol=1e-3))


def token_losses(model: Any, batch: Batch, *, plain_head: bool, precision: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Negative log-likelihood (nats, float32) of each trained token, and whether it is the model's first choice."""
    from torch.nn import functional

    with autocast(precision):
        logits = trained_logits(model, batch, plain_head=plain_head)
    nll = functional.cross_entropy(logits.float(), batch.targets, reduction="none")
    return nll, logits.detach().argmax(dim=-1) == batch.targets


def _language_model(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _linear_layers(model: Any) -> dict[str, nn.Module]:
    """Every linear layer except the vocabulary projection, by full name."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }


def _layer_numbers(lora: LoraSpec, count: int) -> list[int] | None:
    """The layers that get an adapter; None for all of them."""
    if lora.layers == "all":
        return None
    if isinstance(lora.layers, str):
        return list(range(count // 2, count))
    if not lora.layers or not all(isinstance(number, int) and 0 <= number < count for number in lora.layers):
        raise TrainingError(
            "spec", gettext_noop("spec.json: lora.layers should name layers from 0 to %(last)s."), last=count - 1
        )
    return list(lora.layers)


def _layers_name(model: Any, count: int) -> str:
    from torch import nn

    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return str(name.rsplit(".", 1)[-1])
    raise TrainingError(
        "spec", gettext_noop("spec.json: lora.layers is given, but this model's layers could not be found.")
    )
