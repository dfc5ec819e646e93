"""Every route of the product that Django serves; /v1, live events and static files are served in llmopt.edge."""

from django.contrib import admin
from django.urls import path

urlpatterns = [
    path("admin/", admin.site.urls),
]
