"""A real tiny model, a real inference process and plain HTTP for the tests of this folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps.providers.engine.inference.sequence import Sampling, Sequence

REPOSITORY = Path(__file__).resolve().parents[3]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\\n' + message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = ["hello world this is a small text about addresses 123 Main Street Springfield IL 62704"] * 50


class Letters:
    """A tokenizer whose every token is one letter."""

    def decode(self, ids: list[int]) -> str:
        return "x" * len(ids)


def sequence(
    *,
    model: str = "m",
    max_tokens: int = 100,
    stop_ids: frozenset[int] = frozenset(),
    stop: tuple[str, ...] = (),
    stream: bool = False,
    tokenizer: Any = None,
    wake: Callable[[], object] = lambda: None,
) -> Sequence:
    """A request for an answer, as the server makes one."""
    return Sequence(
        request_id="r", model=model, prompt_ids=(1, 2), prefix_length=1, max_tokens=max_tokens, sampling=Sampling(),
        stop_ids=stop_ids, stop=stop, tokenizer=tokenizer or Letters(), wake=wake, stream=stream,
    )  # fmt: skip


def build_models(root: Path) -> Path:
    """Write ``tiny`` (Llama, converted), ``other`` and ``third`` (copies) and ``fallback`` (GPT-2, not converted)."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer()
    vocabulary = len(tokenizer)
    torch.manual_seed(0)
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=8192, bos_token_id=1, eos_token_id=2,
            tie_word_embeddings=False,
        )
    )  # fmt: skip
    gpt2 = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary, n_embd=64, n_layer=2, n_head=4, n_positions=256, bos_token_id=1, eos_token_id=2
        )
    )
    with torch.no_grad():
        for parameter in llama.parameters():
            parameter.mul_(3)  # else every answer of a random model repeats one token
        llama.lm_head.weight[2].zero_()  # never the best token, so that answers have the length that a test asks for
    _save(llama, tokenizer, root / "tiny" / "hf")
    _save(gpt2, tokenizer, root / "fallback" / "hf")
    _convert(root / "tiny")
    shutil.copytree(root / "tiny", root / "other")
    shutil.copytree(root / "tiny", root / "third")
    return root


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", bos_token="<|im_start|>", chat_template=TEMPLATE
    )


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _convert(base: Path) -> None:
    import ctranslate2

    files = [
        name
        for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
        if (base / "hf" / name).is_file()
    ]
    ctranslate2.converters.TransformersConverter(str(base / "hf"), copy_files=files).convert(str(base / "ct2"))


class Server:
    """A running inference process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        return _send(urllib.request.Request(self.url + path, headers=headers or {}))[::2]

    def post(
        self, body: object, *, headers: dict[str, str] | None = None, path: str = "/v1/chat/completions"
    ) -> tuple[int, dict[str, str], Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, headers={"Content-Type": "application/json", **(headers or {})}
        )
        return _send(request)

    def answer(self, **fields: Any) -> dict[str, Any]:
        status, _headers, body = self.post(chat(**fields))
        assert status == 200, body
        return body

    def queue(self) -> dict[str, int]:
        return self.get("/readyz")[1]["queue"]

    def wait_for_queue(self, *, waiting: int, running: int) -> None:
        wait_until(lambda: (self.queue()["waiting"], self.queue()["running"]) == (waiting, running))

    def open_chat(self, **fields: Any) -> socket.socket:
        """Send a request over a bare connection and do not read the answer."""
        body = json.dumps(chat(**fields)).encode()
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        return connection


def chat(model: str = "tiny", text: str = "hello world", system: str = "", **fields: Any) -> dict[str, Any]:
    """The body of a greedy request."""
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": text})
    return {"model": model, "messages": messages, "max_tokens": 12, "temperature": 0, **fields}


def content(body: dict[str, Any]) -> str:
    """The text of an answer."""
    return str(body["choices"][0]["message"]["content"])


def read_all(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    return data


def wait_until(condition: Any, *, seconds: float = 30.0) -> None:
    """Poll until true; fails after ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@contextmanager
def inference(models: Path, *options: str) -> Iterator[Server]:
    """Start an inference process and end it afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--models", str(models), "--port", str(port), "--threads", "1", *options]
    process = subprocess.Popen(
        [sys.executable, "-m", "apps.providers.engine.inference", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "LLMOPT_ROLE": "inference"},
    )
    server = Server(process, port)
    try:
        wait_until(lambda: answers(server))
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def answers(server: Server) -> bool:
    assert server.process.poll() is None, "the inference process ended at its start"
    try:
        return server.get("/healthz")[0] == 200
    except OSError:
        return False


def _send(request: urllib.request.Request) -> tuple[int, dict[str, str], Any]:
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, dict(response.headers), _parse(response.read())
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), _parse(error.read())


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data
