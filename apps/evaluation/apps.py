from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class EvaluationConfig(AppConfig):
    name = "apps.evaluation"
    label = "evaluation"

    def ready(self) -> None:
        from apps.core.jobs import JobKind, register

        register(
            JobKind(
                model="evaluation.Evaluation",
                task="apps.evaluation.tasks.evaluation_slice",
                phases=lambda: {"generating": _("Generating")},
            )
        )
