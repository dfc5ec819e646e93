"""The inference process as its callers see it: a real process, a real socket, a real (tiny) model."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from apps.providers.engine.clients.base import BadRequest, GenerateRequest, Tool
from apps.providers.engine.clients.openai_compatible import OpenAICompatibleClient
from apps.providers.engine.messages import Message
from apps.providers.tests.inference_support import (
    REPOSITORY,
    Server,
    answers,
    build_models,
    chat,
    content,
    inference,
    read_all,
    wait_until,
)

WORDS = ["hello", "world", "Main Street", "Springfield IL", "text about addresses", "123", "62704 small"]
PROMPTS = [f"{WORDS[index % 7]} {index} {WORDS[(index * 3 + 1) % 7]}" for index in range(16)]
SYSTEM = "hello world this is a small text about addresses"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    with inference(models, "--max-tokens-limit", "4000", "--max-context", "8000") as running:
        yield running


def together(server: Server, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(lambda body: server.post(body)[2], bodies))


def test_an_answer_has_openais_shape_and_our_measurements(server: Server) -> None:
    body = server.answer(text="hello")
    assert body["object"] == "chat.completion"
    assert body["model"] == "tiny"
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert body["choices"][0]["finish_reason"] == "length"
    usage = body["usage"]
    assert usage["completion_tokens"] == 12
    assert usage["total_tokens"] == usage["prompt_tokens"] + 12
    measured = usage["llmopt"]
    assert measured["batch_size"] == 1
    assert measured["compute_seconds"] == pytest.approx(measured["batch_seconds"], abs=1e-9)
    assert measured["compute_seconds"] > 0


@pytest.mark.parametrize("size", [8, 16])
def test_greedy_answers_are_the_same_alone_and_in_a_batch(server: Server, size: int) -> None:
    alone = [content(server.answer(text=prompt)) for prompt in PROMPTS[:size]]
    batched = together(server, [chat(text=prompt) for prompt in PROMPTS[:size]])
    assert len(set(alone)) > size // 2
    assert [content(body) for body in batched] == alone
    assert max(body["usage"]["llmopt"]["batch_size"] for body in batched) > 1


def test_a_cached_prefix_changes_no_answer(server: Server) -> None:
    prompts = [f"{prompt} again" for prompt in PROMPTS[:4]]
    fresh = [content(server.answer(text=prompts[0], system=SYSTEM))]
    later = [server.answer(text=prompt, system=SYSTEM) for prompt in prompts]
    whole = [server.answer(text=prompt, system=SYSTEM, model="other") for prompt in prompts[:1]]
    assert content(later[0]) == fresh[0] == content(whole[0])
    assert later[-1]["usage"]["llmopt"]["cached_prompt_tokens"] > 8
    assert whole[0]["usage"]["llmopt"]["cached_prompt_tokens"] == 0


def test_the_shares_of_a_batch_add_up_to_its_time(server: Server) -> None:
    server.answer()  # loaded
    lengths = [4, 30, 60, 90, 120, 150]
    for _attempt in range(20):  # until the gathering window catches all six
        bodies = together(server, [chat(text="hello", max_tokens=length) for length in lengths])
        measured = [body["usage"]["llmopt"] for body in bodies]
        if {item["batch_size"] for item in measured} == {6}:
            break
    assert {item["batch_size"] for item in measured} == {6}
    total = sum(item["compute_seconds"] for item in measured)
    assert total == pytest.approx(max(item["batch_seconds"] for item in measured), rel=0.001)
    assert all(0 < item["compute_seconds"] <= item["batch_seconds"] + 1e-9 for item in measured)
    assert [body["usage"]["completion_tokens"] for body in bodies] == lengths


def stream_events(server: Server, **fields: Any) -> list[Any]:
    status, headers, data = server.post(chat(stream=True, **fields))
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in data.decode().split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_a_stream_carries_the_same_text_and_usage(server: Server) -> None:
    events = stream_events(server, text="Main", max_tokens=40, stream_options={"include_usage": True})
    whole = server.answer(text="Main", max_tokens=40)
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events if event["choices"])
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert text == content(whole)
    assert events[-2]["choices"][0]["finish_reason"] == "length"
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 40


def test_a_stream_without_the_option_has_no_usage(server: Server) -> None:
    assert all("usage" not in event for event in stream_events(server))


async def test_our_own_client_streams_what_it_also_gets_whole(server: Server) -> None:
    client = OpenAICompatibleClient(f"{server.url}/v1")
    request = GenerateRequest("tiny", (Message("user", "Main"),), 40)
    whole = await client.generate(request)
    *pieces, last = [event async for event in client.stream(request)]
    tools = dataclasses.replace(request, tools=(Tool("look_up"),))
    with pytest.raises(BadRequest, match="tools is not supported for local models"):
        await client.generate(tools)
    await client.aclose()
    # How many pieces there are is a matter of time: a small model may be done before the first one is asked for.
    assert pieces
    assert "".join(piece.text for piece in pieces) == whole.text == last.result.text
    assert (last.result.usage.completion_tokens, last.result.finish_reason) == (40, "length")
    assert last.result.compute_seconds > 0


def test_a_stop_string_ends_the_answer(server: Server) -> None:
    whole = content(server.answer(text="Main", max_tokens=40))
    stop = whole[10:13]
    body = server.answer(text="Main", max_tokens=40, stop=[stop])
    assert content(body) == whole[: whole.index(stop)]
    assert body["choices"][0]["finish_reason"] == "stop"


def test_a_temperature_really_samples(server: Server) -> None:
    answers = {content(server.answer(text="Main", max_tokens=20, temperature=1.5)) for _ in range(4)}
    assert len(answers) > 1


def test_a_seed_with_a_temperature_is_refused_by_name(server: Server) -> None:
    status, _headers, body = server.post(chat(temperature=0.7, seed=1))
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, "seed", "unsupported_parameter")
    assert server.post(chat(seed=1))[0] == 200


def test_a_prompt_that_does_not_fit_is_refused_alone(server: Server) -> None:
    bodies = [chat(text=prompt) for prompt in PROMPTS[:3]] + [chat(text="x y " * 4000)]
    results = together(server, bodies)
    assert results[3]["error"]["code"] == "context_length_exceeded"
    assert all(content(body) for body in results[:3])


@pytest.mark.parametrize("model", ["missing", "../tiny", "tiny/ct2", "/etc/passwd", "."])
def test_what_is_not_a_model_is_a_404(server: Server, model: str) -> None:
    status, _headers, body = server.post(chat(model=model))
    assert (status, body["error"]["code"]) == (404, "model_not_found")


def test_bodies_that_are_not_ours_are_refused(server: Server) -> None:
    assert server.post(b"{")[2]["error"]["code"] == "invalid_json"
    assert server.post(b"[]")[0] == 400
    assert server.post(chat(), headers={"Content-Type": "text/plain"})[0] == 415
    assert server.post(chat(text="x" * 1_100_000))[0] == 413
    assert server.post(chat(), path="/v1/embeddings")[2]["error"]["code"] == "not_found"


def test_a_foreign_host_name_is_refused(server: Server) -> None:
    assert server.get("/readyz", {"Host": "rebound.example"})[0] == 400


def test_the_model_list_names_the_backend(server: Server) -> None:
    listed = {model["id"]: model for model in server.get("/v1/models")[1]["data"]}
    assert {name: model["backend"] for name, model in listed.items()} == {
        "tiny": "ctranslate2", "other": "ctranslate2", "third": "ctranslate2", "fallback": "transformers",
    }  # fmt: skip
    assert (listed["tiny"]["context_length"], listed["fallback"]["context_length"]) == (8000, 256)


def test_at_most_two_models_stay_in_memory(server: Server) -> None:
    for name in ("tiny", "other", "third"):
        server.answer(model=name)
    assert server.get("/readyz")[1]["models"]["loaded"] == ["other", "third"]


def test_the_fallback_answers_the_same_alone_and_in_a_batch(server: Server) -> None:
    alone = [content(server.answer(model="fallback", text=prompt)) for prompt in PROMPTS[:4]]
    batched = together(server, [chat(model="fallback", text=prompt) for prompt in PROMPTS[:4]])
    assert [content(body) for body in batched] == alone


def test_a_short_request_is_answered_while_a_long_one_still_runs(server: Server) -> None:
    alone = content(server.answer(text="Main", max_tokens=1500))
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(server.answer, text="Main", max_tokens=1500)
        server.wait_for_queue(waiting=0, running=1)
        server.answer(text="hello", max_tokens=4, model="other")
        assert not long.done()
    assert content(long.result()) == alone  # it gave way in between, and nothing of it changed


def test_a_client_that_hangs_up_leaves_the_queue(server: Server) -> None:
    running = server.open_chat(text="Main", max_tokens=3900)
    server.wait_for_queue(waiting=0, running=1)
    queued = server.open_chat(text="Main", max_tokens=3901, model="other")
    server.wait_for_queue(waiting=1, running=1)
    queued.close()
    wait_until(lambda: server.queue()["waiting"] == 0)
    assert server.queue()["running"] == 1
    running.close()
    server.wait_for_queue(waiting=0, running=0)


def test_a_full_queue_says_when_to_come_back(models: Path) -> None:
    options = ("--max-waiting", "1", "--max-batch", "1", "--max-tokens-limit", "4000", "--max-context", "8000")
    with inference(models, *options) as small:
        connections = [small.open_chat(text="Main", max_tokens=3900)]
        small.wait_for_queue(waiting=0, running=1)
        connections.append(small.open_chat(text="Main", max_tokens=3900))
        small.wait_for_queue(waiting=1, running=1)
        status, headers, body = small.post(chat())
        assert (status, body["error"]["code"]) == (429, "queue_full")
        assert int(headers["retry-after"]) >= 1
        for connection in connections:
            connection.close()


def test_an_endless_chat_template_is_refused_and_keeps_nobody_waiting(models: Path, server: Server) -> None:
    hostile = shutil.copytree(models / "tiny", models / "hostile")
    trap = "{% if messages[0].content == 'trap' %}{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}"
    template = hostile / "ct2" / "chat_template.jinja"
    template.write_text(f"{trap}{{% endfor %}}{{% endif %}}{template.read_text(encoding='utf-8')}", encoding="utf-8")
    try:
        # One process for the template, started with the first question.
        assert content(server.answer(model="hostile")) == content(server.answer())
        with ThreadPoolExecutor(1) as pool:
            trapped = pool.submit(server.post, chat(model="hostile", text="trap"))
            assert content(server.answer())
            assert not trapped.done()
            status, _headers, body = trapped.result()
        assert (status, "was stopped" in body["error"]["message"]) == (400, True)
        assert content(server.answer(model="hostile")) == content(server.answer())
    finally:
        shutil.rmtree(hostile)


def test_an_idle_process_gives_its_models_back(models: Path) -> None:
    with inference(models, "--idle-unload-seconds", "0.3") as idle:
        first = content(idle.answer())
        assert idle.get("/readyz")[1]["models"]["loaded"] == ["tiny"]
        wait_until(lambda: idle.get("/readyz")[1]["models"]["loaded"] == [])
        assert content(idle.answer()) == first


def test_a_token_is_asked_for_where_there_is_one(models: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret-s3cret-s3cret\n")
    with inference(models, "--token-file", str(token)) as guarded:
        assert guarded.post(chat())[2]["error"]["code"] == "invalid_api_key"
        assert guarded.get("/v1/models")[0] == 401
        assert guarded.post(chat(), headers={"Authorization": "Bearer s3cret-s3cret-s3cret"})[0] == 200
        assert guarded.get("/readyz")[0] == 200


def test_a_stop_signal_lets_the_running_answer_end(models: Path) -> None:
    with inference(models) as stopping:
        stopping.answer()
        running = stopping.open_chat(text="Main", max_tokens=1000)
        stopping.wait_for_queue(waiting=0, running=1)
        stopping.process.send_signal(signal.SIGTERM)
        answer = read_all(running)
        assert b'"completion_tokens":1000' in answer
        assert stopping.process.wait(timeout=20) == 0


def test_a_process_whose_scheduler_fails_answers_what_waits_and_ends(models: Path, unused_tcp_port: int) -> None:
    script = textwrap.dedent(
        f"""
        from apps.providers.engine.inference import scheduler, server
        from apps.providers.engine.inference.settings import read_settings

        def fails(*arguments, **more):
            raise RuntimeError("nothing can be picked")

        scheduler.pick = fails
        server.serve(read_settings(["--models", {str(models)!r}, "--port", "{unused_tcp_port}"]))
        """
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stderr=subprocess.PIPE)
    failing = Server(process, unused_tcp_port)
    try:
        wait_until(lambda: answers(failing))
        status, _headers, body = failing.post(chat())
        said = process.communicate(timeout=20)[1].decode()
    finally:
        process.kill()
    assert (status, body["error"]["code"]) == (503, "shutting_down")
    assert process.returncode == 0
    assert "the scheduler ended" in said
    assert "nothing can be picked" in said


def test_the_process_ends_with_the_one_that_started_it(models: Path) -> None:
    script = textwrap.dedent(
        f"""
        import subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-m", "apps.providers.engine.inference", "--parent-death",
                                  "--models", {str(models)!r}, "--port", "0"], stderr=subprocess.PIPE)
        while b"running on" not in child.stderr.readline():
            pass
        print(child.pid, flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    wait_until(lambda: not _alive(child))


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_host_that_others_can_reach_needs_a_token(models: Path) -> None:
    command = [sys.executable, "-m", "apps.providers.engine.inference", "--models", str(models), "--host", "0.0.0.0"]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "--token-file" in ended.stderr


def test_serving_a_converted_model_imports_neither_torch_nor_django(models: Path) -> None:
    script = textwrap.dedent(
        f"""
        import asyncio, sys
        from apps.providers.engine.inference.server import build_service
        from apps.providers.engine.inference.settings import read_settings
        from apps.providers.engine.inference.wire import read_chat_request

        async def main():
            service = build_service(read_settings(["--models", {str(models)!r}]))
            ended, loop = asyncio.Event(), asyncio.get_running_loop()
            request = read_chat_request({chat()!r}, max_tokens_limit=100)
            sequence = service.renderer.sequence(
                service.catalogue.find("tiny"), request, wake=lambda: loop.call_soon_threadsafe(ended.set)
            )
            task = asyncio.create_task(service.scheduler.run())
            service.scheduler.submit(sequence)
            await ended.wait()
            task.cancel()
            await service.scheduler.close()
            heavy = [name for name in ("torch", "transformers", "django") if name in sys.modules]
            print(len(sequence.output_ids), heavy)

        asyncio.run(main())
        """
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=True,
        env={**os.environ, "LLMOPT_ROLE": "inference"},
    )  # fmt: skip
    assert ended.stdout.strip() == "12 []"
