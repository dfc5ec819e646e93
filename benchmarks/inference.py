"""Eight concurrent 64-token requests through the inference process, against eight sequential `generate` calls.

Both sides run the same model in float32, greedily, with one thread per core. Figures are generated tokens per second;
loading and one warm-up request are outside the measurement.
"""

import json
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from benchmarks import figures, machine, models
from benchmarks.figures import Pair
from benchmarks.servers import free_port, served

REQUESTS, MAX_TOKENS, PATIENCE_SECONDS = 8, 64, 120.0
PROMPTS = [f"Describe in detail how a letter travels from a village to house number {n} of a city." for n in range(8)]


def main() -> None:
    given = figures.options(__doc__).parse_args()
    models.require(models.MODELS / models.NAME / "ct2" / "model.bin", models.MODELS / models.NAME / "hf")
    pairs = figures.repeated(lambda: Pair(_served(), models.in_process(generate)), given.repeats)
    figures.show(
        f"inference, {REQUESTS} requests of at most {MAX_TOKENS} tokens", pairs, unit="tokens per second",
        ours="inference process, all at once", peer="transformers generate, one after the other",
    )  # fmt: skip


def _served() -> float:
    """Tokens per second of all requests at once."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with served(_command(port), port), ThreadPoolExecutor(REQUESTS) as threads:
        _ask(url, "Say hello.", 8)
        started = time.perf_counter()
        tokens = sum(threads.map(lambda prompt: _ask(url, prompt, MAX_TOKENS), PROMPTS))
        return tokens / (time.perf_counter() - started)


def _ask(url: str, prompt: str, max_tokens: int) -> int:
    """Tokens that the answer has."""
    body = {"model": models.NAME, "messages": [{"role": "user", "content": prompt}], "temperature": 0.0}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps({**body, "max_tokens": max_tokens}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        return int(json.load(answer)["usage"]["completion_tokens"])


def _command(port: int) -> list[str]:
    command = [sys.executable, "-m", "apps.providers.engine.inference", "--models", str(models.MODELS)]
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
    tokens = sum(one(prompt, MAX_TOKENS) for prompt in PROMPTS)
    return tokens / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
