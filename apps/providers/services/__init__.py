"""Changes to models, and bringing models in."""

from apps.providers.services.language_models import (
    language_model_create,
    language_model_failed,
    language_model_planned_again,
    language_model_ready,
)

__all__ = [
    "language_model_create",
    "language_model_failed",
    "language_model_planned_again",
    "language_model_ready",
]
