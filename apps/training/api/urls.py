"""Routes of fine-tuning below /api/v1/."""

from django.urls import path

from apps.training.api import views

urlpatterns = [
    path("fine-tune", views.fine_tune, name="api_fine_tune"),
    path("fine-tune/preflights", views.preflights, name="api_preflights"),
    path("fine-tune/preflights/<uuid:uid>", views.preflight, name="api_preflight"),
    path("fine-tune/preflights/<uuid:uid>/start", views.preflight_start, name="api_preflight_start"),
    path("fine-tune/<uuid:uid>", views.run, name="api_fine_tune_run"),
    path("fine-tune/<uuid:uid>/events", views.events, name="api_fine_tune_events"),
    path("fine-tune/<uuid:uid>/checkpoints", views.checkpoints, name="api_fine_tune_checkpoints"),
    path("fine-tune/<uuid:uid>/cancel", views.cancel, name="api_fine_tune_cancel"),
    path("fine-tune/<uuid:uid>/pause", views.pause, name="api_fine_tune_pause"),
    path("fine-tune/<uuid:uid>/resume", views.resume, name="api_fine_tune_resume"),
]
