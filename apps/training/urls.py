"""Routes of this app below /t/<team>/."""

from django.urls import path

from apps.training.views import new, runs, tokens, uses

urlpatterns = [
    path("training/", runs.training_runs, name="training_runs"),
    path("training/new/", new.training_new, name="training_new"),
    path("training/tokens/", tokens.training_tokens, name="training_tokens"),
    path("training/preflights/<uuid:uid>/", new.training_preflight, name="training_preflight"),
    path("training/preflights/<uuid:uid>/start/", new.preflight_start, name="preflight_start"),
    path("training/preflights/<uuid:uid>/again/", new.preflight_again, name="preflight_again"),
    path("training/<uuid:uid>/", runs.training_run, name="training_run"),
    path("datasets/<uuid:uid>/training/", uses.dataset_training, name="dataset_training"),
    path(
        "datasets/<uuid:uid>/v/<int:number>/training/", uses.dataset_version_training, name="dataset_version_training"
    ),
    path("prompts/<uuid:uid>/training/", uses.prompt_training, name="prompt_training"),
]
