"""The REST API, version 1: the routes of every app in one list."""

from django.urls import include, path

urlpatterns = [
    path("", include("apps.core.api.urls")),
    path("", include("apps.providers.api.urls")),
    path("", include("apps.accounts.api.urls")),
    path("", include("apps.experiments.api.urls")),
    path("", include("apps.billing.api.urls")),
    path("", include("apps.evaluation.api.urls")),
    path("", include("apps.feedback.api.urls")),
    path("", include("apps.training.api.urls")),
    path("", include("apps.workspace.api.urls")),
]
