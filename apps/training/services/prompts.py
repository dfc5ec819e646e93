"""The prompt of a team that has none: the input, and nothing else."""

from typing import Any

from django.utils.translation import gettext as _

from apps.experiments.engine.prompts import PromptSpec
from apps.experiments.models import PromptVersion
from apps.experiments.services.prompts import prompt_version_create
from apps.providers.engine.messages import Message


def input_alone_prompt(*, actor: Any, team: Any) -> PromptVersion:
    """The version of the prompt "The input alone"; made if there is none yet."""
    spec = PromptSpec(messages=(Message(role="user", content="{{ input }}"),))
    return prompt_version_create(actor=actor, team=team, name=_("The input alone"), spec=spec)
