"""Routes of provider keys below /api/v1/."""

from django.urls import path

from apps.providers.api import keys

urlpatterns = [
    path("provider-keys", keys.provider_keys, name="api_provider_keys"),
    path("provider-keys/<uuid:uid>", keys.provider_key, name="api_provider_key"),
    path("provider-keys/<uuid:uid>/replace", keys.replace, name="api_provider_key_replace"),
]
