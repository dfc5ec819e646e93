"""Pages that `make look` opens as somebody else answer what it expects of them."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from apps.workspace.tests.look_people import people_of
from apps.workspace.tests.look_world import make_look

pytestmark = pytest.mark.django_db


def test_each_page_answers_with_the_status_that_it_is_photographed_for(settings: Any) -> None:
    settings.EMBEDDED = True
    seen = {}
    for person in people_of(make_look("empty")):
        client = Client(raise_request_exception=False)
        client.force_login(person.user)
        for page in person.pages:
            send = client.post if "press" in page else client.get
            seen[page["name"]] = (send(urlsplit(page["url"]).path).status_code, page.get("status", 200))

    assert {name: found for name, (found, wanted) in seen.items() if found != wanted} == {}
    assert {wanted for _, wanted in seen.values()} == {200, 403, 404, 422, 500}


def test_the_rater_sees_a_home_and_the_one_in_two_teams_a_list(settings: Any) -> None:
    settings.EMBEDDED = True
    rater, olga = people_of(make_look("empty"))
    client = Client()

    client.force_login(rater.user)
    assert "There is nothing to rate yet" in client.get(rater.pages[0]["url"]).content.decode()
    client.force_login(olga.user)
    assert client.get(reverse("start")).content.decode().count('scope="row"') == 2
