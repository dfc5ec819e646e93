"""What a model takes of the parameters that a candidate is given."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from apps.core.errors import ApplicationError
from apps.providers.engine.parameters import refused_parameters
from apps.providers.models import LanguageModel

# What a form sends for a temperature that nobody chose, and what leaving it out means.
UNCHOSEN = (None, 0, 1)


def accepted_parameters(model: LanguageModel, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """`parameters` as they can be sent to `model`: None for a temperature that its provider sets itself.

    One that somebody chose is not dropped silently: it is refused here, at its field.
    """
    if not model.provider or "temperature" not in parameters:
        return dict(parameters)
    if "temperature" not in refused_parameters(model.provider, model.provider_model):
        return dict(parameters)
    if parameters["temperature"] not in UNCHOSEN:
        raise ApplicationError(
            _("%(name)s takes no temperature: its provider sets it. Leave it at 0 for this model.")
            % {"name": model.name},
            code="parameter_refused",
            field="temperature",
        )
    return {**parameters, "temperature": None}
