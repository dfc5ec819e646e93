"""Two programs with one refresh token, and two processes that see a key for the first time, in the same moment."""

import pytest

from apps.accounts import keys
from apps.accounts.keys import key_of
from apps.accounts.models import APIKeyUse, Membership, TokenFamily
from apps.accounts.services import keys as key_services
from apps.accounts.services.keys import api_key_create, api_key_use_record
from apps.accounts.services.tokens import TokenRefused, tokens_create, tokens_refresh
from apps.core.models import AuditEvent
from apps.core.tests.at_once import second_of_two
from apps.core.tests.factories import MembershipFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


@pytest.fixture
def member() -> Membership:
    keys.forget_keys()
    return MembershipFactory.create(role="editor")


def test_one_of_two_refreshes_with_the_same_token_wins_and_the_family_ends(member: Membership) -> None:
    pair = tokens_create(actor=member.user)
    first: list[object] = []

    with pytest.raises(TokenRefused) as refused:
        second_of_two(
            lambda: first.append(tokens_refresh(actor=None, refresh=pair.refresh)),
            lambda: tokens_refresh(actor=None, refresh=pair.refresh),
        )

    assert len(first) == 1
    assert refused.value.code == "token_reused"
    assert TokenFamily.objects.get().revoked_at is not None


def test_one_use_of_a_key_in_two_processes_is_one_event(member: Membership) -> None:
    text = api_key_create(actor=member.user, team=member.team, name="Nightly", scopes=["read"]).text
    facts = key_of(text)
    assert facts is not None

    def use() -> None:
        # Each process remembers for itself what it has written.
        key_services._seen.clear()
        api_key_use_record(actor=None, facts=facts, address="192.0.2.1")

    second_of_two(use, use)

    assert APIKeyUse.objects.count() == 1
    assert AuditEvent.objects.filter(verb="api_key.used").count() == 1
