"""The gateway with API keys, rate limits, budgets and its ledger in PostgreSQL, against the upstream that it asks.

One worker of the product, its database, the upstream and the clients are processes of their own on the same machine.
Other gateways can be measured beside it in the same run, each told where the upstream is and where to listen:

    python -m benchmarks.gateway --peer "litellm=litellm --config c.yaml --port {port}"

with `{upstream}` for the upstream's address. `--peer-header NAME=HEADER:VALUE` is sent to that peer with each request.
"""

import argparse
import asyncio
import json
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import psutil

from apps.core.processes.tree import end_child
from benchmarks import databases, figures, machine, upstream
from benchmarks.figures import Pair
from benchmarks.load import PATH, Found, Load
from benchmarks.servers import free_port, served

MODEL = "gpt-4.1-mini"
AT_ONCE = (1, 25, 100)
SLOW_AT_ONCE = 25
STREAMS = 200
OURS, FLOOR = "ours", "upstream"
PREPARE, UPSTREAM = "--prepare", "--upstream"
PEER_PATIENCE_SECONDS = 90.0


@dataclass(frozen=True)
class Side:
    """A server that answers chat completions. `processes` are those whose time and memory are counted as its own."""

    name: str
    url: str
    model: str
    headers: dict[str, str] = field(default_factory=dict)
    pid: int = 0


def main() -> None:
    options = figures.options(__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND", help="another gateway")
    options.add_argument("--peer-header", action="append", default=[], metavar="NAME=HEADER:VALUE")
    options.add_argument("--seconds", type=float, default=3.0, help="how long each load lasts")
    options.add_argument("--at-once", type=int, nargs="+", default=AT_ONCE, help="clients at once")
    options.add_argument("--only", choices=("throughput", "slow", "streams", "hits"), action="append")
    options.add_argument(
        "--commit", choices=("on", "off"), default="on", help="PostgreSQL's synchronous_commit; off waits for no disk"
    )
    options.add_argument(PREPARE, action="store_true", help="make team, key, model and budgets, print the key")
    options.add_argument(UPSTREAM, type=int, metavar="PORT", help="be the server that everybody asks")
    given = options.parse_args()
    if given.prepare:
        print(_prepared(given.commit))
    elif given.upstream:
        import uvloop

        uvloop.run(upstream.serve(given.upstream))
    else:
        _measure(given)


def _measure(given: Any) -> None:
    # What a peer starts with: it must not take the product's settings for its own.
    outside = dict(os.environ)
    up_port, port = free_port(), free_port()
    up_url = f"http://127.0.0.1:{up_port}"
    with ExitStack() as stack:
        stack.enter_context(served([sys.executable, "-m", "benchmarks.gateway", UPSTREAM, str(up_port)], up_port))
        environment = stack.enter_context(databases.postgresql())
        os.environ.update(environment, **_settings(up_url))
        prepare = [sys.executable, "-m", "benchmarks.gateway", PREPARE, "--commit", given.commit]
        done = subprocess.run(prepare, cwd=machine.ROOT, check=True, stdout=subprocess.PIPE)
        key = done.stdout.decode().strip()
        pid = stack.enter_context(served([sys.executable, "manage.py", "web", "--port", str(port)], port))
        ours = Side(OURS, f"http://127.0.0.1:{port}", f"openai/{MODEL}", {"Authorization": f"Bearer {key}"}, pid)
        sides = [ours, Side(FLOOR, up_url, MODEL)]
        sides += [stack.enter_context(_peer(text, given.peer_header, up_url, outside)) for text in given.peer]
        print(f"PostgreSQL's synchronous_commit is {given.commit}", flush=True)
        wanted = given.only or ["throughput", "slow", "hits", "streams"]
        for what in wanted:
            _BY_NAME[what](sides, given)


def _settings(up_url: str) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": "sk-measured",
        "OPENAI_BASE_URL": f"{up_url}/v1",
        # Counted as ever, and never reached.
        "LLMOPT_API_REQUESTS_PER_MINUTE": "100000000",
        # One access line for each request, as an installation writes it.
        "LLMOPT_LOG_LEVEL": "INFO",
    }


def _prepared(commit: str) -> str:
    """The text of a key of the demo team, which has a commercial model and a budget of the team and one of the key."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmopt.settings.dev")
    import django

    django.setup()
    from django.db import connection

    from apps.accounts.services.keys import api_key_create
    from apps.billing.models import Budget
    from apps.billing.services import budget_create, budget_limit_change
    from apps.providers.models import MOST_AT_ONCE, ProviderKey
    from apps.providers.services import language_model_create
    from apps.workspace.demo import demo_team_ensure

    team, owner = demo_team_ensure()
    # Keys of the environment are read once for each team; this one is made as that does it.
    provider_key = ProviderKey.objects.create(
        team=team, provider="openai", name="openai", source="environment", max_concurrency=MOST_AT_ONCE
    )
    language_model_create(
        actor=owner, team=team, name=MODEL, kind="commercial", served_name=f"openai/{MODEL}", state="ready",
        provider="openai", provider_key=provider_key, provider_model=MODEL,
    )  # fmt: skip
    made = api_key_create(actor=owner, team=team, name="Measured", scopes=["generate"])
    # The demo team has a budget, for one run of its main job.
    budget_limit_change(actor=owner, budget=Budget.objects.get(team=team), limit_nanousd=10**15)
    budget_create(actor=owner, team=team, limit_nanousd=10**14, period="daily", api_key=made.key)
    with connection.cursor() as cursor:
        name = connection.ops.quote_name(connection.settings_dict["NAME"])
        cursor.execute(f"ALTER DATABASE {name} SET synchronous_commit = {commit}")
    return made.text


# --- what is measured


def _throughput(sides: Sequence[Side], given: Any) -> None:
    for at_once in given.at_once:
        found = _in_turn(sides, given, at_once, "Say hello.")
        for side in sides[1:]:
            figures.show(
                f"gateway, {at_once} at once", _pairs(found, side, "per_second"), unit="answers per second",
                ours="LLMOpt", peer=_named(side),
            )  # fmt: skip
        for side in sides:
            _say_times(side, found[side.name])
        _say_added(sides, found)


def _slow(sides: Sequence[Side], given: Any) -> None:
    found = _in_turn(sides, given, SLOW_AT_ONCE, upstream.SLOW)
    print(f"an upstream that takes {1000 * upstream.SLOW_SECONDS:.0f} ms, {SLOW_AT_ONCE} at once")
    for side in sides:
        _say_times(side, found[side.name])
    _say_added(sides, found)


def _hits(sides: Sequence[Side], given: Any) -> None:
    """Answers from the cache; the time of a whole request of the only client."""
    found = [_loaded(sides[0], given, 1, "Say it again.", temperature=0)[0] for _ in range(given.repeats)]
    print(f"an answer from the cache, 1 at once: p50 {figures.spread([each.p50_ms for each in found])} ms", end="")
    print(f", p95 {figures.spread([each.p95_ms for each in found])} ms", flush=True)


def _streams(sides: Sequence[Side], given: Any) -> None:
    memory, threads, before = asyncio.run(_held(sides[0]))
    print(
        f"{STREAMS} open streams: {memory:.0f} MiB of private memory, {threads} threads ({before} before)", flush=True
    )


_BY_NAME = {"throughput": _throughput, "slow": _slow, "hits": _hits, "streams": _streams}


def _in_turn(sides: Sequence[Side], given: Any, at_once: int, text: str) -> dict[str, list[tuple[Found, float]]]:
    """Each side under the same load, one after the other, as often as wanted; who is first changes."""
    found: dict[str, list[tuple[Found, float]]] = {side.name: [] for side in sides}
    for number in range(max(1, given.repeats)):
        for side in sides if number % 2 == 0 else list(reversed(sides)):
            found[side.name].append(_loaded(side, given, at_once, text))
    return found


def _loaded(side: Side, given: Any, at_once: int, text: str, **more: Any) -> tuple[Found, float]:
    """What was found, and the milliseconds of CPU that the side's process took for each answer."""
    body = {"model": side.model, "messages": [{"role": "user", "content": text}], "max_tokens": 64, **more}
    load = Load(side.url, side.headers, body, at_once, given.seconds)
    before, began = _cpu_seconds(side), time.perf_counter()
    counted = _answered(side) if side.name == FLOOR else 0
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", json.dumps(asdict(load))],
        cwd=machine.ROOT, check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    took = time.perf_counter() - began
    found = Found(**json.loads(done.stdout))
    if side.name == FLOOR and not 0 <= _answered(side) - counted - found.answers <= 2 * at_once:
        # Only each client's last may be missing, and what it still asked for then: else somebody counts what is not.
        raise SystemExit(f"The clients counted {found.answers} answers, the upstream {_answered(side) - counted}.")
    if found.refused:
        print(f"  {side.name} refused {found.refused} requests", flush=True)
    answers = found.per_second * (load.seconds + load.warm_up)
    return found, 1000 * (_cpu_seconds(side) - before) / answers if answers and took else 0.0


def _answered(upstream: Side) -> int:
    """By its own count."""
    with urllib.request.urlopen(upstream.url, timeout=10) as answer:
        return int(json.load(answer)["answered"])


def _cpu_seconds(side: Side) -> float:
    if not side.pid:
        return 0.0
    process = psutil.Process(side.pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def _pairs(found: dict[str, list[tuple[Found, float]]], side: Side, name: str) -> list[Pair]:
    both = zip(found[OURS], found[side.name], strict=True)
    return [Pair(getattr(ours[0], name), getattr(other[0], name)) for ours, other in both]


def _say_times(side: Side, found: list[tuple[Found, float]]) -> None:
    p50, p95 = ([getattr(each, name) for each, _ in found] for name in ("p50_ms", "p95_ms"))
    cpu = f", {figures.spread([cpu for _, cpu in found])} ms of CPU" if side.pid else ""
    print(f"  {side.name}: p50 {figures.spread(p50)}, p95 {figures.spread(p95)} ms{cpu}", flush=True)


def _say_added(sides: Sequence[Side], found: dict[str, list[tuple[Found, float]]]) -> None:
    for side in sides:
        if side.name == FLOOR:
            continue
        added = [
            (ours.p50_ms - floor.p50_ms, ours.p95_ms - floor.p95_ms)
            for (ours, _), (floor, _) in zip(found[side.name], found[FLOOR], strict=True)
        ]
        p50, p95 = (median(values) for values in zip(*added, strict=True))
        print(f"  {side.name} adds {p50:.1f} ms to the upstream's p50, {p95:.1f} ms to its p95", flush=True)


def _named(side: Side) -> str:
    return "the upstream alone" if side.name == FLOOR else side.name


async def _held(side: Side) -> tuple[float, int, int]:
    """MiB of private memory and threads with the streams open, each in the middle of its answer; threads before."""
    process = psutil.Process(side.pid)
    before = process.num_threads()
    port = int(side.url.rpartition(":")[2])
    body = json.dumps(
        {
            "model": side.model, "messages": [{"role": "user", "content": upstream.HELD}], "max_tokens": 64,
            "stream": True,
        }
    ).encode()  # fmt: skip
    head = "".join(f"{name}: {value}\r\n" for name, value in side.headers.items())
    request = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    writers = []
    for _ in range(STREAMS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        writers.append(writer)
        found = await asyncio.wait_for(reader.readuntil(b'"word"'.replace(b'"word"', b" word")), 30)
        assert found.startswith(b"HTTP/1.1 200"), found[:300]  # noqa: S101 - a figure of refusals would be none
    memory, threads = process.memory_full_info().uss / 2**20, process.num_threads()
    for writer in writers:
        writer.close()
    return memory, threads, before


# --- peers


@contextmanager
def _peer(text: str, headers: Sequence[str], up_url: str, environment: dict[str, str]) -> Iterator[Side]:
    name, _, command = text.partition("=")
    port = free_port()
    own = dict(_header(each.partition("=")[2], up_url) for each in headers if each.partition("=")[0] == name)
    words = [word.format(port=port, upstream=up_url) for word in shlex.split(command)]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + PEER_PATIENCE_SECONDS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{name} did not start: {shlex.join(words)}")
            time.sleep(0.5)
        yield Side(name, f"http://127.0.0.1:{port}", MODEL, {"Authorization": "Bearer sk-measured", **own}, process.pid)
    finally:
        end_child(process, seconds=20)


def _header(text: str, up_url: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name, value.strip().format(upstream=up_url)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main()
