"""Live events: who hears what, replay, and what many streams cost."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection

from apps.accounts.models import Membership, Team, User
from apps.core.models import LiveEvent
from apps.core.tests.factories import MembershipFactory, TeamFactory
from llmopt.edge.events import EventStreams
from llmopt.edge.hub import Event, Hub, Subscriber, latest_of_each_part
from llmopt.tests.asgi_client import Stream, call

pytestmark = [pytest.mark.asyncio, pytest.mark.django_db(transaction=True)]
TOPIC = "experiment:0192f0c1-2b3c-7d4e-8f50-123456789abc"
OTHER_TOPIC = "experiment:0192f0c1-2b3c-7d4e-8f50-000000000000"


def cookie_of(user: User) -> tuple[bytes, bytes]:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return (b"cookie", f"sessionid={session.session_key}".encode())


@pytest.fixture
def alice(transactional_db: None) -> Membership:
    return MembershipFactory()


@pytest.fixture
def cookie(alice: Membership) -> tuple[bytes, bytes]:
    return cookie_of(alice.user)


@pytest.fixture
def streams() -> Any:
    streams = EventStreams()
    yield streams
    streams.close()


async def in_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    def run() -> Any:
        try:
            return function(*args, **kwargs)
        finally:
            connection.close()

    return await asyncio.to_thread(run)


async def publish(team: Team, topic: str, part: str) -> LiveEvent:
    event: LiveEvent = await in_thread(LiveEvent.objects.create, team=team, topic=topic, part=part)
    return event


def address(team: Team, *topics: str) -> str:
    return f"/t/{team.slug}/events/?" + "&".join(f"topic={topic}" for topic in topics)


async def test_a_change_is_sent_as_an_event_named_by_its_part(
    alice: Membership, cookie: tuple[bytes, bytes], streams: EventStreams
) -> None:
    stream = Stream(streams, address(alice.team, TOPIC), headers=[cookie])
    await stream.until("retry: 2000")
    assert stream.answer.status == 200
    event = await publish(alice.team, TOPIC, "leaderboard")
    text = await stream.until("leaderboard")
    assert f"event: leaderboard\ndata: {TOPIC}\nid: {event.pk}\n\n" in text
    await stream.leave()
    assert streams.hub is not None
    assert len(streams.hub) == 0


async def test_another_teams_events_and_other_topics_are_not_heard(
    alice: Membership, cookie: tuple[bytes, bytes], streams: EventStreams
) -> None:
    stranger = await in_thread(TeamFactory)
    stream = Stream(streams, address(alice.team, TOPIC), headers=[cookie])
    await stream.until("retry")
    await publish(stranger, TOPIC, "stolen")
    await publish(alice.team, OTHER_TOPIC, "elsewhere")
    await publish(alice.team, TOPIC, "mine")
    text = await stream.until("mine")
    assert "stolen" not in text
    assert "elsewhere" not in text
    await stream.leave()


async def test_a_page_about_the_whole_team_hears_all_of_it_and_nothing_else(
    alice: Membership, cookie: tuple[bytes, bytes], streams: EventStreams
) -> None:
    stranger = await in_thread(TeamFactory)
    stream = Stream(streams, address(alice.team, "team"), headers=[cookie])
    await stream.until("retry")
    await publish(stranger, TOPIC, "stolen")
    await publish(alice.team, OTHER_TOPIC, "status")
    text = await stream.until("status")
    assert "stolen" not in text
    await stream.leave()


async def test_a_session_is_found_among_other_programs_cookies(
    alice: Membership, cookie: tuple[bytes, bytes], streams: EventStreams
) -> None:
    crowded = (b"cookie", b'prefs={"a": 1}; x[y]=1; ' + cookie[1] + b"; last=\xe9")
    stream = Stream(streams, address(alice.team, TOPIC), headers=[crowded])
    await stream.until("retry: 2000")
    assert stream.answer.status == 200
    await stream.leave()


async def test_a_reconnect_gets_what_it_missed_once_and_only_the_latest_of_each_part(
    alice: Membership, cookie: tuple[bytes, bytes], streams: EventStreams
) -> None:
    seen = await publish(alice.team, TOPIC, "before")
    await publish(alice.team, TOPIC, "progress")
    await publish(alice.team, OTHER_TOPIC, "elsewhere")
    latest = await publish(alice.team, TOPIC, "progress")
    again = Stream(streams, address(alice.team, TOPIC), headers=[cookie, (b"last-event-id", str(seen.pk).encode())])
    await again.until("progress")
    await publish(alice.team, TOPIC, "after")
    text = await again.until("after")
    assert text.count("event: progress") == 1
    assert f"id: {latest.pk}\n" in text
    assert "before" not in text
    assert "elsewhere" not in text
    await again.leave()


async def test_a_page_that_was_away_for_longer_than_events_are_kept_is_told_so(
    alice: Membership, cookie: tuple[bytes, bytes], streams: EventStreams
) -> None:
    old = await publish(alice.team, TOPIC, "old")
    await publish(alice.team, TOPIC, "forgotten")
    await publish(alice.team, TOPIC, "kept")
    await in_thread(LiveEvent.objects.filter(part__in=["old", "forgotten"]).delete)
    stream = Stream(streams, address(alice.team, TOPIC), headers=[cookie, (b"last-event-id", str(old.pk).encode())])
    assert "event: missed" in await stream.until("missed")
    await stream.leave()


async def test_strangers_and_the_signed_out_hear_nothing(alice: Membership, streams: EventStreams) -> None:
    charlie = await in_thread(lambda: cookie_of(MembershipFactory().user))
    assert (await call(streams, address(alice.team, TOPIC))).status == 401
    forged = (b"cookie", b"sessionid=abcdefghijklmnop")
    host = (b"host", b"localhost")
    assert (await call(streams, address(alice.team, TOPIC), headers=[host, forged])).status == 401
    assert (await call(streams, address(alice.team, TOPIC), headers=[host, charlie])).status == 404


@pytest.mark.parametrize(
    "query", ["", "?topic=", "?topic=experiment:1", "?topic=../x", "?topic=team" + "&topic=team" * 20]
)
async def test_topics_must_have_their_shape(alice: Membership, streams: EventStreams, query: str) -> None:
    answer = await call(streams, f"/t/{alice.team.slug}/events/{query}")
    assert answer.status == 400


async def test_a_stream_ends_when_its_person_leaves_the_team(alice: Membership, cookie: tuple[bytes, bytes]) -> None:
    streams = EventStreams(ping_seconds=0.05, recheck_seconds=0.1)
    stream = Stream(streams, address(alice.team, TOPIC), headers=[cookie])
    await stream.until(": ping")
    await in_thread(Membership.objects.filter(pk=alice.pk).delete)
    await asyncio.wait_for(stream.task, 5)
    streams.close()


async def test_two_hundred_streams_share_a_few_threads_and_all_hear_one_event(
    alice: Membership, cookie: tuple[bytes, bytes], streams: EventStreams
) -> None:
    before = threading.active_count()
    clients = [Stream(streams, address(alice.team, TOPIC), headers=[cookie]) for _ in range(200)]
    await asyncio.gather(*(client.until("retry", seconds=30) for client in clients))
    # One for the hub, four that look up listeners, and those of this test's own to_thread calls.
    assert threading.active_count() - before <= 1 + 4
    await publish(alice.team, TOPIC, "leaderboard")
    texts = await asyncio.gather(*(client.until("leaderboard", seconds=10) for client in clients))
    assert all(text.count("event: leaderboard") == 1 for text in texts)
    await asyncio.gather(*(client.leave() for client in clients))


async def test_a_server_that_stops_ends_its_streams(
    alice: Membership, cookie: tuple[bytes, bytes], streams: EventStreams
) -> None:
    stream = Stream(streams, address(alice.team, TOPIC), headers=[cookie])
    await stream.until("retry")
    streams.close()
    await asyncio.wait_for(stream.task, 5)
    assert stream.answer.status == 200


class Log:
    """A list of events in place of the table."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reads = 0

    def read(self, last: int, gaps: list[int]) -> list[Event]:
        self.reads += 1
        return [event for event in self.events if event.id > last or event.id in gaps]

    def newest(self) -> int:
        return max((event.id for event in self.events), default=0)


async def test_an_event_that_is_committed_after_a_newer_one_is_still_heard() -> None:
    log = Log()
    hub = Hub(log.read, log.newest, poll_seconds=0.01)
    subscriber = Subscriber(1, frozenset({TOPIC}))
    await hub.subscribe(subscriber)
    log.events.append(Event(2, 1, TOPIC, "second"))
    assert (await asyncio.wait_for(subscriber.queue.get(), 5)).part == "second"
    log.events.append(Event(1, 1, TOPIC, "first"))
    assert (await asyncio.wait_for(subscriber.queue.get(), 5)).part == "first"
    await asyncio.sleep(0.05)
    assert subscriber.queue.empty()
    hub.close()


async def test_an_event_that_is_committed_late_reaches_a_client_that_came_meanwhile(
    alice: Membership, cookie: tuple[bytes, bytes], streams: EventStreams
) -> None:
    """Its id is below the newest one that the client was told of, at the start of the hub and with a replay."""
    first = await publish(alice.team, TOPIC, "before")
    for number, header in ((1, []), (4, [(b"last-event-id", str(first.pk).encode())])):
        late, newer = first.pk + number, first.pk + number + 1
        await in_thread(LiveEvent.objects.create, pk=newer, team=alice.team, topic=TOPIC, part=f"newer{number}")
        stream = Stream(streams, address(alice.team, TOPIC), headers=[cookie, *header])
        await stream.until(f"id: {newer}\n")
        await in_thread(LiveEvent.objects.create, pk=late, team=alice.team, topic=TOPIC, part=f"late{number}")
        text = await stream.until(f"event: late{number}\n")
        assert text.count(f"event: newer{number}\n") == (1 if header else 0)
        await stream.leave()


async def test_nobody_listening_means_nobody_reading() -> None:
    log = Log()
    hub = Hub(log.read, log.newest, poll_seconds=0.01)
    subscriber = Subscriber(1, frozenset({TOPIC}))
    await hub.subscribe(subscriber)
    await asyncio.sleep(0.05)
    hub.unsubscribe(subscriber)
    await asyncio.sleep(0.05)
    reads = log.reads
    assert reads > 0
    await asyncio.sleep(0.05)
    assert log.reads == reads
    hub.close()


async def test_a_database_that_is_away_for_a_while_does_not_end_the_hub() -> None:
    log, calls = Log(), 0

    def read(last: int, gaps: list[int]) -> list[Event]:
        nonlocal calls
        calls += 1
        if calls == 2:  # the first look is at what came just before
            raise ConnectionError("away")
        return log.read(last, gaps)

    hub = Hub(read, log.newest, poll_seconds=0.01)
    subscriber = Subscriber(1, frozenset({TOPIC}))
    await hub.subscribe(subscriber)
    log.events.append(Event(1, 1, TOPIC, "back"))
    assert (await asyncio.wait_for(subscriber.queue.get(), 5)).part == "back"
    hub.close()


async def test_a_client_that_does_not_read_is_let_go() -> None:
    subscriber = Subscriber(1, frozenset({TOPIC}), queue=asyncio.Queue(2))
    for number in range(3):
        subscriber.offer(Event(number, 1, TOPIC, f"part{number}"))
    assert subscriber.ended.is_set()


async def test_only_the_newest_event_of_a_part_is_passed_on() -> None:
    events = [Event(3, 1, TOPIC, "a"), Event(1, 1, TOPIC, "a"), Event(2, 1, TOPIC, "b"), Event(4, 2, TOPIC, "a")]
    assert [event.id for event in latest_of_each_part(events)] == [2, 3, 4]
