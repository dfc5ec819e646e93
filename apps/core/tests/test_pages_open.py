"""Every page opens for the owner of a team with something in it."""

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Team, User

PAGES = ("home", "datasets", "models", "jobs", "members")


@pytest.mark.django_db
@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_and_contains_no_unrendered_component(client: Client, team: Team, alice: User, name: str) -> None:
    client.force_login(alice)

    response = client.get(reverse(name, args=[team.slug]))

    assert response.status_code == 200
    assert "<c-" not in response.content.decode()
    assert response.content.decode().count("<h1") == 1
