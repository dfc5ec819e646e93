"""What a model takes of the parameters that a candidate is given."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from apps.core.errors import ApplicationError
from apps.providers.engine.parameters import least_reasoning, refused_parameters
from apps.providers.models import LanguageModel

# What a form sends for a temperature that nobody chose, and what leaving it out means.
UNCHOSEN = (None, 0, 1)


def accepted_parameters(model: LanguageModel, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """`parameters` as they can be sent to `model`: None for a temperature that its provider sets itself, and the least
    effort of a model that can reason, with room for it. Parameters that were accepted before stay as they are.

    A temperature that somebody chose is not dropped silently: it is refused here, at its field.
    """
    if not model.provider or not {"temperature", "max_tokens"} <= parameters.keys():
        return dict(parameters)
    found = dict(parameters)
    effort, room = least_reasoning(model.provider, model.provider_model)
    if effort and "reasoning_effort" not in found:
        found |= {"reasoning_effort": effort, "max_tokens": found["max_tokens"] + room}
    effort = str(found.get("reasoning_effort", ""))
    if "temperature" not in refused_parameters(model.provider, model.provider_model, reasoning_effort=effort):
        return found
    if parameters["temperature"] not in UNCHOSEN:
        raise ApplicationError(
            _("%(name)s takes no temperature: its provider sets it. Leave it at 0 for this model.")
            % {"name": model.name},
            code="parameter_refused",
            field="temperature",
        )
    return {**found, "temperature": None}
