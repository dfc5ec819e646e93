"""What a call of the REST API costs with an API key, against the same call with a session. The database is SQLite.

CPU time of the whole of Django's part: middleware, who calls, the view, JSON. Nothing is sent over a socket.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from time import perf_counter, process_time
from typing import Any

from benchmarks import databases, figures, machine
from benchmarks.figures import Pair

CALLS = 300
PATH = "/api/v1/datasets"
WORKER = "--worker"


def main() -> None:
    options = figures.options(__doc__)
    options.add_argument(WORKER, action="store_true", help="measure in the database of this environment, print JSON")
    given = options.parse_args()
    if given.worker:
        print(json.dumps(_measure(given.repeats)))
        return
    with databases.sqlite() as environment:
        own = {**environment, "LLMOPT_API_REQUESTS_PER_MINUTE": "1000000", "LLMOPT_ALLOWED_HOSTS": "testserver"}
        command = [sys.executable, "-m", "benchmarks.api_keys", WORKER, "--repeats", str(given.repeats)]
        done = subprocess.run(command, cwd=machine.ROOT, env=own, check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)
    figures.show(
        f"GET {PATH}, one process", [Pair(*values) for values in found["pairs"]], unit="ms of CPU a call",
        ours="with an API key", peer="with a session",
    )  # fmt: skip
    print(f"  queries of a call: {found['key_queries']} with a key, {found['session_queries']} with a session")
    print(f"  the key alone: {found['known_us']:.1f} µs remembered, {found['read_us']:.0f} µs read", flush=True)


def _measure(repeats: int) -> dict[str, Any]:
    slug, cookie = databases.signed_in()
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from apps.accounts import keys
    from apps.accounts.models import Membership
    from apps.accounts.services.keys import api_key_create

    owner = Membership.objects.select_related("team", "user").get(team__slug=slug)
    text = api_key_create(actor=owner.user, team=owner.team, name="Measured", scopes=["read"]).text
    with_key, with_session = Client(headers={"authorization": f"Bearer {text}"}), Client(headers={"cookie": cookie})
    found: dict[str, Any] = {}
    for name, client in (("key_queries", with_key), ("session_queries", with_session)):
        assert client.get(PATH).status_code == 200  # noqa: S101 - a figure of refusals would be none
        with CaptureQueriesContext(connection) as queries:
            client.get(PATH)
        found[name] = len(queries)
    turns = figures.Turns()
    found["pairs"] = [
        [pair.ours, pair.peer]
        for pair in figures.repeated(lambda: turns.pair(lambda: _cpu(with_key), lambda: _cpu(with_session)), repeats)
    ]
    found["known_us"] = _microseconds(lambda: keys.key_of(text), 20_000)
    found["read_us"] = _microseconds(lambda: (keys.forget_keys(), keys.key_of(text)), 500)
    return found


def _cpu(client: Any) -> float:
    """Milliseconds of CPU for one call."""
    started = process_time()
    for _ in range(CALLS):
        client.get(PATH)
    return (process_time() - started) * 1000 / CALLS


def _microseconds(work: Callable[[], object], times: int) -> float:
    started = perf_counter()
    for _ in range(times):
        work()
    return (perf_counter() - started) * 1e6 / times


if __name__ == "__main__":
    main()
