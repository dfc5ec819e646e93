"""Routes of a team's settings, below /t/<team>/."""

from django.urls import path

from apps.accounts.views import api_keys, members

urlpatterns = [
    path("settings/members/", members.members, name="members"),
    path("settings/members/<uuid:uid>/role/", members.member_role, name="member_role"),
    path("settings/members/<uuid:uid>/remove/", members.member_remove, name="member_remove"),
    path("settings/api-keys/", api_keys.api_keys, name="api_keys"),
    path("settings/api-keys/<uuid:uid>/", api_keys.api_key, name="api_key"),
    path("settings/api-keys/<uuid:uid>/revoke/", api_keys.api_key_revoke, name="api_key_revoke"),
]
