"""Routes below /api/v1/ that belong to no team."""

from django.urls import path

from apps.core.api import views

urlpatterns = [
    path("health", views.alive, name="api_health"),
    path("health/ready", views.ready, name="api_health_ready"),
]
