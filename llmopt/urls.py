"""Every route of the product that Django serves; /v1, live events and static files are served in llmopt.edge."""

from django.contrib import admin
from django.urls import include, path

from apps.workspace.styleguide import styleguide

handler400 = "apps.core.error_pages.bad_request"
handler403 = "apps.core.error_pages.permission_denied"
handler404 = "apps.core.error_pages.page_not_found"
handler500 = "apps.core.error_pages.server_error"

team_pages = [
    path("", include("apps.workspace.urls")),
    path("", include("apps.experiments.urls")),
    path("", include("apps.evaluation.urls")),
    path("", include("apps.training.urls")),
    path("", include("apps.training.model_urls")),
    path("", include("apps.billing.urls")),
    path("", include("apps.providers.urls")),
    path("", include("apps.accounts.urls.team")),
]

urlpatterns = [
    path("", include("apps.accounts.urls")),
    path("t/<slug:team>/", include(team_pages)),
    path("api/v1/", include("llmopt.api_v1")),
    path("styleguide/", styleguide, name="styleguide"),
    path("admin/", admin.site.urls),
]
