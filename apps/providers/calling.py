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
    body = {
        "model": model.served_name,
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "max_tokens": max_tokens,
        "temperature": 0,
    }
    token = shlex.quote(_shown(settings.INFERENCE_TOKEN_FILE))
    lines = [
        f"curl -s {settings.INFERENCE_URL.rstrip('/')}/chat/completions",
        f'-H "Authorization: Bearer $(cat {token})"',
        '-H "Content-Type: application/json"',
        f"-d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
    ]
    return " \\\n  ".join(lines)


def _shown(path: Path) -> str:
    root = Path(settings.BASE_DIR)
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
