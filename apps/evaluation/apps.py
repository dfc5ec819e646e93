from django.apps import AppConfig


class EvaluationConfig(AppConfig):
    name = "apps.evaluation"
    label = "evaluation"

    def ready(self) -> None:
        from apps.core.jobs import JobKind, register

        register(JobKind(model="evaluation.Evaluation", task="apps.evaluation.tasks.evaluation_slice"))
