"""Routes of experiments and evaluations below /api/v1/."""

from django.urls import path

from apps.evaluation.api import views

urlpatterns = [
    path("experiments/<uuid:uid>", views.experiment, name="api_experiment"),
    path("experiments/<uuid:uid>/leaderboard", views.leaderboard, name="api_experiment_leaderboard"),
    path("experiments/<uuid:uid>/report", views.report, name="api_experiment_report"),
    path("experiments/<uuid:uid>/report.md", views.report_md, name="api_experiment_report_markdown"),
    path("experiments/<uuid:uid>/notes", views.notes, name="api_experiment_notes"),
    path("experiments/<uuid:uid>/looks", views.looks, name="api_experiment_looks"),
    path("evaluations", views.evaluation_list, name="api_evaluations"),
    path("evaluations/<uuid:uid>", views.evaluation, name="api_evaluation"),
]
