"""Routes of making an experiment, and of models, below /api/v1/."""

from django.urls import path

from apps.workspace.api import jobs, language_models, plans, views

EXPERIMENT = "experiments/<uuid:uid>"

urlpatterns = [
    path("experiments", views.experiments, name="api_experiments"),
    path(f"{EXPERIMENT}/candidates", views.candidates, name="api_candidates"),
    path(f"{EXPERIMENT}/candidates/<uuid:candidate>", views.candidate, name="api_candidate"),
    path(f"{EXPERIMENT}/reference", views.reference, name="api_experiment_reference"),
    path(f"{EXPERIMENT}/validate", views.validate, name="api_experiment_validate"),
    path(f"{EXPERIMENT}/final-test", views.final_test, name="api_experiment_final_test"),
    path(f"{EXPERIMENT}/clone", views.clone, name="api_experiment_clone"),
    path(f"{EXPERIMENT}/activity", views.activity, name="api_experiment_activity"),
    path("datasets/<uuid:uid>/versions/<int:number>/plan", plans.plan, name="api_plan"),
    path("experiment-runs/<uuid:uid>", plans.experiment_run, name="api_experiment_run"),
    path("jobs", jobs.job_list, name="api_jobs"),
    path("jobs/<slug:kind>/<uuid:uid>", jobs.job, name="api_job"),
    path("jobs/<slug:kind>/<uuid:uid>/cancel", jobs.cancel, name="api_job_cancel"),
    path("jobs/<slug:kind>/<uuid:uid>/pause", jobs.pause, name="api_job_pause"),
    path("jobs/<slug:kind>/<uuid:uid>/resume", jobs.resume, name="api_job_resume"),
    path("models", language_models.models, name="api_models"),
    path("models/<uuid:uid>", language_models.model, name="api_model"),
]
