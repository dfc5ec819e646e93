"""Routes of this app below /t/<team>/."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
