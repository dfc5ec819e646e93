"""One call of a model by a person who wants to see what it answers."""

import asyncio
from typing import Any

from django.utils.translation import gettext as _

from apps.billing.metering import GenerateRequest, MeteredCall, MeteredResult, Metering, ModelFacts
from apps.billing.services import prices_ensure_local
from apps.core import audit
from apps.core.access import require
from apps.core.errors import ApplicationError, Conflict, translated
from apps.experiments.engine.prompts import PromptError, render_messages
from apps.experiments.models import PromptVersion
from apps.experiments.selectors import prompt_spec
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel

# A page must be answered before its own time limit.
CALL_SECONDS = 60.0
DEADLINE_SECONDS = 75.0
MOST_TOKENS = 1024
MOST_CHARACTERS = 100_000


def model_answer(
    *,
    actor: Any,
    model: LanguageModel,
    prompt: PromptVersion | None,
    text: str,
    columns: dict[str, str],
    max_tokens: int,
) -> MeteredResult:
    """Call the model once, inside the team's budgets. Raises what metering raises, and for what cannot be sent."""
    require(model, actor, "edit")
    if model.state != LanguageModel.State.READY:
        raise Conflict(_("%(model)s is not ready, so it cannot answer.") % {"model": model.name})
    if not text.strip() or len(text) > MOST_CHARACTERS:
        raise ApplicationError(_("Write a text of 1 to 100,000 characters."), field="text")
    call = MeteredCall(
        team_id=model.team_id,
        experiment_id=None,
        language_model=ModelFacts.of(model),
        request=GenerateRequest(
            model=ModelFacts.of(model).call_name,
            messages=_messages(prompt, text, columns),
            max_tokens=min(max(max_tokens, 1), MOST_TOKENS),
        ),
        purpose=f"try:{model.uid}",
        # A person who tries a model wants to see how long it takes.
        use_cache=False,
        person_id=actor.pk,
    )
    # The team's machine costs what it is assumed to, until somebody sets another price.
    prices_ensure_local(actor=None, team=model.team)
    result = asyncio.run(_call(call))
    audit.record(actor=actor, verb="language_model.tried", target=model, cost_nanousd=result.cost_nanousd)
    return result


async def _call(call: MeteredCall) -> MeteredResult:
    async with Metering(call_timeout_seconds=CALL_SECONDS, deadline_seconds=DEADLINE_SECONDS) as metering:
        return await metering.generate(call)


def _messages(prompt: PromptVersion | None, text: str, columns: dict[str, str]) -> tuple[Message, ...]:
    if prompt is None:
        return (Message("user", text),)
    try:
        return tuple(render_messages(prompt_spec(prompt), text, columns))
    except PromptError as error:
        raise ApplicationError(translated(error), field="text") from error
