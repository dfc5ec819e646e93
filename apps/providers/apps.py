from collections.abc import Mapping

from django.apps import AppConfig
from django.utils.functional import Promise


class ProvidersConfig(AppConfig):
    name = "apps.providers"
    label = "providers"

    def ready(self) -> None:
        from apps.core.housekeeping import register_housekeeping
        from apps.core.jobs import JobKind, register
        from apps.providers.launch import host_may_resume
        from apps.providers.models import UNIT_BYTES
        from apps.providers.services.fetches import model_fetch_cancelled, model_fetch_failed

        register_housekeeping("retired models", "apps.providers.tasks.models_retire", every_seconds=3600.0)
        register(
            JobKind(
                model="providers.ModelFetch",
                task="apps.providers.tasks.model_fetch_start",
                max_attempts=5,
                may_resume=host_may_resume,
                after_failure=lambda fetch: model_fetch_failed(actor=None, fetch=fetch),
                after_cancel=lambda fetch: model_fetch_cancelled(actor=None, fetch=fetch),
                phases=_phases,
                unit_bytes=UNIT_BYTES,
            )
        )


def _phases() -> Mapping[str, str | Promise]:
    from apps.providers.selectors import PHASES

    return PHASES
