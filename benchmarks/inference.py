"""Eight concurrent 64-token requests through the inference process, against eight sequential `generate` calls.

Both sides run the same model in float32, greedily, with one thread per core. Figures are generated tokens per second;
loading and one warm-up request are outside the measurement. Every answer has to reach its limit of tokens, so that no
end token shortens one side's work.

Then what a long request, of 512 tokens, does to a short one, of 16, that comes while it runs; and what a queue of 32
requests with long prompts, as an evaluation makes it, does to a short one of another model.
"""

import json
import os
import shutil
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import figures, machine, models
from benchmarks.figures import Pair
from benchmarks.servers import free_port, served

REQUESTS, MAX_TOKENS, PATIENCE_SECONDS = 8, 64, 120.0
LONG_TOKENS, SHORT_TOKENS, SHORT_REQUESTS = 512, 16, 5
LONG, SHORT = (
    "Write a very long story about a letter that travels through a whole country.",
    "Say hello to the postman.",
)
QUEUED, SECOND = 32, "a-second-model"
LETTERS = "A letter lay on the table of a post office in a village. "
PROMPTS = [f"Describe in detail how a letter travels from a village to house number {n} of a city." for n in range(8)]


def main() -> None:
    given = figures.options(__doc__).parse_args()
    models.require(models.MODELS / models.NAME / "ct2" / "model.bin", models.MODELS / models.NAME / "hf")
    pairs = figures.repeated(lambda: Pair(_served(), models.in_process(generate)), given.repeats)
    figures.show(
        f"inference, {REQUESTS} requests of {MAX_TOKENS} tokens", pairs, unit="tokens per second",
        ours="inference process, all at once", peer="transformers generate, one after the other",
    )  # fmt: skip
    figures.show(
        f"inference, an answer of {SHORT_TOKENS} tokens", figures.repeated(_beside_a_long_one, given.repeats), unit="s",
        ours=f"while one of {LONG_TOKENS} tokens is written", peer="alone",
    )  # fmt: skip
    figures.show(
        f"inference, an answer of {SHORT_TOKENS} tokens", figures.repeated(_beside_another_model, given.repeats),
        unit="s", ours=f"while another model has {QUEUED} long prompts to answer", peer="alone",
    )  # fmt: skip


def _served() -> float:
    """Tokens per second of all requests at once."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with served(_command(port), port), ThreadPoolExecutor(REQUESTS) as threads:
        _ask(url, "Say hello.", 8)
        started = time.perf_counter()
        tokens = list(threads.map(lambda prompt: _ask(url, prompt, MAX_TOKENS), PROMPTS))
        return _rate(tokens, time.perf_counter() - started)


def _rate(tokens: list[int], seconds: float) -> float:
    if set(tokens) != {MAX_TOKENS}:
        raise SystemExit(f"The answers have {tokens} tokens: some ended before the limit of {MAX_TOKENS}.")
    return sum(tokens) / seconds


def _beside_a_long_one() -> Pair:
    """Seconds of a short answer while a long one is written, and alone; medians of a few."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with served(_command(port), port), ThreadPoolExecutor(1) as threads:
        _ask(url, "Say hello.", 8)
        alone = _short_seconds(url)
        long = threads.submit(_ask, url, LONG, LONG_TOKENS)
        time.sleep(0.5)  # it is being written by now
        beside = _short_seconds(url)
        if long.done():
            raise SystemExit(f"The long answer ended after {long.result()} tokens, before the short ones.")
        return Pair(beside, alone)


def _beside_another_model() -> Pair:
    """Seconds of a short answer of a second model while the first one has a queue, and alone; medians of a few."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with _two_models() as folder, served(_command(port, folder), port), ThreadPoolExecutor(QUEUED) as threads:
        for name in (models.NAME, SECOND):
            _ask(url, "Say hello.", 8, model=name)
        alone = _short_seconds(url, model=SECOND)
        queue = [threads.submit(_ask, url, f"{LETTERS * 35} Which was number {n}?", MAX_TOKENS) for n in range(QUEUED)]
        time.sleep(1.0)  # the first batch reads
        # Few: each of them waits for a batch that reads, and the queue has to last.
        beside = _short_seconds(url, model=SECOND, count=3)
        if all(asked.done() for asked in queue):
            raise SystemExit("The queue was empty before the short ones ended.")
        return Pair(beside, alone)


@contextmanager
def _two_models() -> Iterator[Path]:
    """A folder with the model under two names."""
    with TemporaryDirectory(dir=models.VAR) as name:
        folder = Path(name)
        for each in (models.NAME, SECOND):
            shutil.copytree(models.MODELS / models.NAME / "ct2", folder / each / "ct2", copy_function=os.link)
        yield folder


def _short_seconds(url: str, *, model: str = models.NAME, count: int = SHORT_REQUESTS) -> float:
    prompts = [f"{SHORT} {day}." for day in range(count)]
    return median(figures.seconds_of(partial(_ask, url, prompt, SHORT_TOKENS, model=model)) for prompt in prompts)


def _ask(url: str, prompt: str, max_tokens: int, *, model: str = models.NAME) -> int:
    """Tokens that the answer has."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "temperature": 0.0}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps({**body, "max_tokens": max_tokens}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        return int(json.load(answer)["usage"]["completion_tokens"])


def _command(port: int, folder: Path = models.MODELS) -> list[str]:
    command = [sys.executable, "-m", "apps.providers.engine.inference", "--models", str(folder)]
    return [*command, "--port", str(port), "--threads", str(machine.cores())]


def generate() -> float:
    """Tokens per second of transformers, one prompt after the other."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(machine.cores())
    folder = str(models.MODELS / models.NAME / "hf")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()

    def one(prompt: str, max_tokens: int) -> int:
        chat = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        inputs = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        with torch.inference_mode():
            output = model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
        return int(output.shape[1] - inputs["input_ids"].shape[1])

    one("Say hello.", 8)
    started = time.perf_counter()
    tokens = [one(prompt, MAX_TOKENS) for prompt in PROMPTS]
    return _rate(tokens, time.perf_counter() - started)


if __name__ == "__main__":
    main()
