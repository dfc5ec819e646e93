from django.apps import AppConfig


class TrainingConfig(AppConfig):
    name = "apps.training"
    label = "training"

    def ready(self) -> None:
        from apps.core.jobs import JobKind, register
        from apps.providers.names import register_names
        from apps.training.launch import host_may_resume, preflight_may_resume
        from apps.training.selectors import PHASES, PREFLIGHT_PHASES
        from apps.training.services.runs import training_run_cancelled, training_run_failed

        register_names("aliases", "apps.training.alias_names.alias_names")
        register(
            JobKind(
                model="training.TrainingRun",
                task="apps.training.tasks.training_start",
                max_attempts=10,
                may_resume=host_may_resume,
                after_failure=lambda run: training_run_failed(actor=None, run=run),
                after_cancel=lambda run: training_run_cancelled(actor=None, run=run),
                phases=lambda: PHASES,
            )
        )
        register(
            JobKind(
                model="training.Preflight",
                task="apps.training.tasks.preflight_start",
                max_attempts=3,
                may_resume=preflight_may_resume,
                phases=lambda: PREFLIGHT_PHASES,
            )
        )
