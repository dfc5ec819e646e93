"""Nothing is changed without a trace, and the trace cannot be changed unseen."""

import threading
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from apps.accounts.models import Team, User
from apps.billing.tests.processes import start_process
from apps.core import audit
from apps.core.models import AuditEvent
from apps.experiments.models import Dataset
from apps.experiments.services import datasets

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both_databases]


def events(team: Team, count: int, verb: str = "thing.done") -> list[AuditEvent]:
    return [audit.record(actor=None, verb=verb, target=team, team_id=team.pk, number=i) for i in range(count)]


def sequences(team: Team) -> list[int]:
    return list(AuditEvent.objects.filter(team=team).order_by("sequence").values_list("sequence", flat=True))


def test_a_change_and_its_event_stand_or_fall_together(team: Team, alice: User, monkeypatch: Any) -> None:
    datasets.dataset_create(actor=alice, team=team, name="Kept", split_seed=1)
    monkeypatch.setattr(datasets.audit, "record", lambda **_facts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        datasets.dataset_create(actor=alice, team=team, name="Lost", split_seed=1)
    assert list(Dataset.objects.values_list("name", flat=True)) == ["Kept"]
    assert AuditEvent.objects.get().facts["name"] == "Kept"


def test_an_event_vanishes_with_a_change_that_is_rolled_back(team: Team) -> None:
    with transaction.atomic():
        events(team, 1)
        transaction.set_rollback(True)
    assert AuditEvent.objects.count() == 0


def test_an_event_says_who_did_what_to_what(team: Team, alice: User) -> None:
    dataset = datasets.dataset_create(actor=alice, team=team, name="Streets", split_seed=9)
    event = AuditEvent.objects.get()
    assert (event.team, event.actor, event.actor_label) == (team, alice, "alice@example.com")
    assert (event.verb, event.object_type, event.object_uid) == ("dataset.created", "experiments.dataset", dataset.uid)
    assert event.facts == {"name": "Streets", "split_seed": 9, "validation_percent": 15, "test_percent": 15}
    assert event.sequence is None


def test_each_team_has_a_chain_of_its_own(team: Team, other_team: Team) -> None:
    for _ in range(3):
        events(team, 1)
        events(other_team, 1)
    assert audit.seal_pending() == 6
    assert sequences(team) == sequences(other_team) == [1, 2, 3]
    assert audit.first_broken_link(team.pk) is None
    assert audit.first_broken_link(other_team.pk) is None


def test_a_chain_goes_on_where_it_was(team: Team) -> None:
    events(team, 3)
    assert audit.seal_pending(limit=2) == 2
    assert audit.seal_pending() == 1
    events(team, 1)
    assert audit.seal_pending() == 1
    assert audit.seal_pending() == 0
    assert sequences(team) == [1, 2, 3, 4]
    assert audit.first_broken_link(team.pk) is None


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "thing.undone"},
        {"actor_label": "mallory@example.com"},
        {"facts": {"number": 100}},
        {"object_type": "other"},
        {"hash": "0" * 64},
        {"previous_hash": "0" * 64},
        {"created_at": "2020-01-01T00:00:00Z"},
        {"object_uid": None},
        {"sequence": 77},
    ],
)
def test_a_changed_event_is_found(team: Team, change: dict[str, Any]) -> None:
    second = events(team, 4)[1]
    audit.seal_pending()
    assert audit.first_broken_link(team.pk) is None
    AuditEvent.objects.filter(pk=second.pk).update(**change)
    assert audit.first_broken_link(team.pk) in {2, 3}


def test_a_removed_event_is_found(team: Team) -> None:
    second = events(team, 4)[1]
    audit.seal_pending()
    AuditEvent.objects.filter(pk=second.pk).delete()
    assert audit.first_broken_link(team.pk) == 3


def test_an_event_that_somebody_slips_in_is_found(team: Team) -> None:
    events(team, 2)
    audit.seal_pending()
    forged = events(team, 1)[0]
    AuditEvent.objects.filter(pk=forged.pk).update(sequence=3, previous_hash="a" * 64, hash="b" * 64)
    assert audit.first_broken_link(team.pk) == 3


def test_events_of_no_team_have_a_chain_too(alice: User) -> None:
    for number in range(2):
        AuditEvent.objects.create(team=None, actor=alice, actor_label="a", verb=f"v{number}", object_type="t")
    audit.seal_pending()
    assert audit.first_broken_link(None) is None
    AuditEvent.objects.filter(verb="v1").update(verb="v2")
    assert audit.first_broken_link(None) == 2


def test_events_with_any_text_and_numbers_keep_their_hash(team: Team, alice: User) -> None:
    facts = {"text": "Zoë \N{SNOWMAN} “quoted”", "float": 0.1 + 0.2, "big": 2**53, "nested": {"b": [1, None], "a": {}}}
    audit.record(actor=alice, verb="v", target=team, team_id=team.pk, **facts)
    audit.seal_pending()
    assert audit.first_broken_link(team.pk) is None
    assert AuditEvent.objects.get(verb="v").facts == facts


def seal() -> None:
    audit.seal_pending()


def test_sealers_that_run_at_once_neither_fork_nor_tear_the_chain(team: Team) -> None:
    events(team, 120)
    processes = [start_process(seal) for _ in range(3)]
    for process in processes:
        process.join(60)
    audit.seal_pending()
    assert sequences(team) == list(range(1, 121))
    assert audit.first_broken_link(team.pk) is None


def test_a_second_sealer_that_looked_before_the_first_committed_seals_nothing_again(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under PostgreSQL both could read the same unsealed events; the later one must not give them new places."""
    events(team, 3)
    if connection.vendor == "sqlite":
        assert audit.seal_pending() == 3  # immediate transactions let one in at a time
    else:
        _seal_twice_interleaved(monkeypatch)
    assert sequences(team) == [1, 2, 3]
    assert audit.first_broken_link(team.pk) is None


def _seal_twice_interleaved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first sealer stops before its first head until the second has begun to wait for the same rows."""
    real, began = audit._head, threading.Event()

    def other() -> None:
        began.set()
        audit.seal_pending()
        connection.close()

    second = threading.Thread(target=other)

    def head(team_id: int | None) -> tuple[int, str]:
        if not began.is_set():
            second.start()
            began.wait(5)
            second.join(0.5)  # it has either finished (wrongly) or waits for the rows
        return real(team_id)

    monkeypatch.setattr(audit, "_head", head)
    audit.seal_pending()
    second.join(10)
    assert not second.is_alive()


def test_an_event_that_is_put_on_somebody_else_is_found(team: Team, alice: User, bob: User) -> None:
    audit.record(actor=alice, verb="thing.done", target=team, team_id=team.pk)
    audit.seal_pending()
    AuditEvent.objects.update(actor=bob)
    assert audit.first_broken_link(team.pk) == 1


def test_an_event_that_is_moved_to_another_team_is_found(team: Team, other_team: Team) -> None:
    events(team, 1)
    audit.seal_pending()
    AuditEvent.objects.update(team=other_team)
    assert audit.first_broken_link(other_team.pk) == 1


def test_two_events_cannot_take_the_same_place(team: Team, other_team: Team) -> None:
    for owner in (team, other_team, None):
        for verb in ("v1", "v2"):
            AuditEvent.objects.create(team=owner, actor_label="a", verb=verb, object_type="t")
    audit.seal_pending()
    for owner in (team, None):
        with pytest.raises(IntegrityError):
            AuditEvent.objects.filter(team=owner, verb="v2").update(sequence=1)


def test_every_broken_chain_is_named(team: Team, other_team: Team) -> None:
    for owner in (team, other_team):
        events(owner, 3)
    AuditEvent.objects.create(team=None, actor=None, actor_label="system", verb="v", object_type="t")
    audit.seal_pending()
    assert audit.problems() == []
    AuditEvent.objects.filter(team=other_team, sequence=2).delete()
    AuditEvent.objects.filter(team=None).update(actor_label="mallory@example.com")
    assert sorted(audit.problems()) == [
        "the audit trail of no team does not hold at event 1",
        "the audit trail of team elsewhere does not hold at event 3",
    ]
