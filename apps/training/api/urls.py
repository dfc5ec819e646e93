"""Routes of fine-tuning below /api/v1/."""

from django.urls import path

from apps.training.api import views

urlpatterns = [
    path("fine-tune", views.fine_tune, name="api_fine_tune"),
    path("fine-tune/<uuid:uid>", views.run, name="api_fine_tune_run"),
    path("fine-tune/<uuid:uid>/events", views.events, name="api_fine_tune_events"),
    path("fine-tune/<uuid:uid>/checkpoints", views.checkpoints, name="api_fine_tune_checkpoints"),
    *(
        path(f"fine-tune/<uuid:uid>/{action}", views.change, {"action": action}, name=f"api_fine_tune_{action}")
        for action in ("cancel", "pause", "resume")
    ),
]
