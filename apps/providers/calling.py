"""Calling a model from outside the product."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings

from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel


def curl_command(model: LanguageModel, messages: Sequence[Message], *, max_tokens: int = 64) -> str:
    """A command that works as pasted in the folder that LLMOpt was started in, on the machine that serves the model."""
    token = shlex.quote(_shown(settings.INFERENCE_TOKEN_FILE))
    address = f"{settings.INFERENCE_URL.rstrip('/')}/chat/completions"
    return _curl(address, f"$(cat {token})", model.served_name, messages, max_tokens)


def gateway_command(address: str, name: str, messages: Sequence[Message], *, max_tokens: int = 64) -> str:
    """A command that calls what `name` means through the gateway at `address`, with an API key in the environment."""
    return _curl(address, "$LLMOPT_KEY", name, messages, max_tokens)


def _curl(address: str, token: str, name: str, messages: Sequence[Message], max_tokens: int) -> str:
    """`token` as a shell reads it between double quotes."""
    body = {
        "model": name,
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "max_tokens": max_tokens,
        "temperature": 0,
    }
    lines = [
        f"curl -s {shlex.quote(address)}",
        f'-H "Authorization: Bearer {token}"',
        '-H "Content-Type: application/json"',
        f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
    ]
    return " \\\n  ".join(lines)


def _shown(path: Path) -> str:
    root = Path(settings.BASE_DIR)
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
