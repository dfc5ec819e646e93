"""Routes of a team's settings, below /t/<team>/."""

from django.urls import path

from apps.accounts.views import members

urlpatterns = [
    path("settings/members/", members.members, name="members"),
    path("settings/members/<uuid:uid>/role/", members.member_role, name="member_role"),
    path("settings/members/<uuid:uid>/remove/", members.member_remove, name="member_remove"),
]
