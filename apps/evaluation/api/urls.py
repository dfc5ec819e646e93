"""Routes of experiments below /api/v1/."""

from django.urls import path

from apps.evaluation.api import views

urlpatterns = [
    path("experiments/<uuid:uid>", views.experiment, name="api_experiment"),
    path("experiments/<uuid:uid>/report", views.report, name="api_experiment_report"),
]
