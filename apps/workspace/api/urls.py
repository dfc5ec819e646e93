"""Routes of making an experiment, and of models, below /api/v1/."""

from django.urls import path

from apps.workspace.api import views

EXPERIMENT = "experiments/<uuid:uid>"

urlpatterns = [
    path("experiments", views.experiments, name="api_experiments"),
    path(f"{EXPERIMENT}/candidates", views.candidates, name="api_candidates"),
    path(f"{EXPERIMENT}/reference", views.reference, name="api_experiment_reference"),
    path(f"{EXPERIMENT}/validate", views.validate, name="api_experiment_validate"),
    path(f"{EXPERIMENT}/final-test", views.final_test, name="api_experiment_final_test"),
    path(f"{EXPERIMENT}/clone", views.clone, name="api_experiment_clone"),
    path("models", views.models, name="api_models"),
]
