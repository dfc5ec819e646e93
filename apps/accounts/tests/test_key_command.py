"""A key from the command line."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.accounts.keys import forget_keys, key_of
from apps.accounts.models import APIKey, Team, User
from apps.core.models import AuditEvent


def test_the_command_prints_a_key_and_nothing_else(
    team: Team, alice: User, bob: User, capsys: pytest.CaptureFixture[str]
) -> None:
    forget_keys()
    call_command("api_key_create", "--team", team.slug, "--name", "Shop", "--email", bob.email, "--days", "7")

    facts = key_of(capsys.readouterr().out.strip())

    assert facts is not None
    assert (facts.person_id, facts.name, facts.scopes) == (bob.pk, "Shop", {"generate", "read"})
    assert facts.expires_at is not None
    assert timedelta(days=6) < facts.expires_at - timezone.now() < timedelta(days=7)
    event = AuditEvent.objects.get(verb="api_key.created")
    assert (event.actor_label, event.facts["person"]) == ("system", bob.email)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--team", "nowhere"], "There is no team nowhere."),
        (["--email", "nobody@example.com"], "Nobody has an account"),
        (["--days", "-1"], "--days is a number"),
        (["--email", "vera@example.com", "--scope", "write"], "not enough for the scope write"),
        (["--email", "charlie@example.com"], "Your role in this team does not allow this."),
    ],
)
def test_what_cannot_be_is_a_sentence(
    team: Team, alice: User, vera: User, charlie: User, given: list[str], sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence):
        call_command("api_key_create", "--team", team.slug, "--name", "Shop", *given)

    assert not APIKey.objects.exists()
