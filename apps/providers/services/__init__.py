"""Changes to models and to the keys of providers, and bringing models in."""

from apps.providers.services.commercial import (
    language_model_add_commercial,
    language_model_key_change,
    language_models_retire,
)
from apps.providers.services.keys import (
    provider_key_checked,
    provider_key_create,
    provider_key_from_environment,
    provider_key_limits_change,
    provider_key_replace,
    provider_key_revoke,
)
from apps.providers.services.language_models import (
    language_model_create,
    language_model_failed,
    language_model_planned_again,
    language_model_ready,
)

__all__ = [
    "language_model_add_commercial",
    "language_model_create",
    "language_model_failed",
    "language_model_key_change",
    "language_model_planned_again",
    "language_model_ready",
    "language_models_retire",
    "provider_key_checked",
    "provider_key_create",
    "provider_key_from_environment",
    "provider_key_limits_change",
    "provider_key_replace",
    "provider_key_revoke",
]
