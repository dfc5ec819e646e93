"""Routes below /api/v1/ of tokens and API keys."""

from django.urls import path

from apps.accounts.api import keys, tokens

urlpatterns = [
    path("auth/token", tokens.token, name="api_auth_token"),
    path("auth/token/refresh", tokens.token_refresh, name="api_auth_token_refresh"),
    path("auth/token/revoke", tokens.token_revoke, name="api_auth_token_revoke"),
    path("api-keys", keys.api_keys, name="api_api_keys"),
    path("api-keys/<uuid:uid>", keys.api_key, name="api_api_key"),
]
