"""Routes of experiments and evaluations below /api/v1/."""

from django.urls import path

from apps.evaluation.api import views

urlpatterns = [
    path("experiments/<uuid:uid>", views.experiment, name="api_experiment"),
    path("experiments/<uuid:uid>/leaderboard", views.leaderboard, name="api_experiment_leaderboard"),
    path("experiments/<uuid:uid>/report", views.report, name="api_experiment_report"),
    path("evaluations", views.evaluation_list, name="api_evaluations"),
    path("evaluations/<uuid:uid>", views.evaluation, name="api_evaluation"),
]
