"""Routes below /api/v1/ that belong to no team."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView

from apps.core.api import views
from apps.core.api.docs import DocsView

urlpatterns = [
    path("health", views.alive, name="api_health"),
    path("health/ready", views.ready, name="api_health_ready"),
    path("schema/", SpectacularAPIView.as_view(), name="api_schema"),
    path("docs/", DocsView.as_view(url_name="api_schema"), name="api_docs"),
]
