from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
import torch

from apps.providers.engine.chat import ChatTokenizer
from apps.training.engine.certificate import certified_rows, certify, model_log_probabilities, require_passed, verify
from apps.training.engine.errors import TrainingError
from apps.training.engine.events import EventLog, read_events
from apps.training.engine.job import Job, load_job
from apps.training.engine.report import Reporter
from apps.training.engine.run import run_training
from apps.training.tests.tiny_models import build_model, copy_run, row, write_rows, write_run
from apps.training.workdir import forget_result


def finish(run_dir: Path, *, stop: object = None) -> str:
    torch.set_num_threads(1)
    log = EventLog(run_dir / "events.jsonl")
    report = Reporter(log, clock=time.monotonic)
    try:
        return run_training(run_dir, report, should_stop=stop or (lambda: None), clock=time.monotonic, threads=1)  # type: ignore[arg-type]  # a plain callable stands for the control file
    finally:
        report.close()
        log.close()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Finished runs: LoRA on each architecture, and a full fine-tuning."""
    folder = tmp_path_factory.mktemp("finished")
    runs = {}
    for kind, method in (("llama", "lora"), ("gpt2", "lora"), ("gpt2", "full")):
        base = folder / kind
        if not base.exists():
            build_model(base, kind)
        runs[f"{kind}-{method}"] = write_run(folder / f"{kind}-{method}", base, method=method, learning_rate=0.02)
        assert finish(runs[f"{kind}-{method}"]) == "finished"
    return runs


def trained_probabilities(job: Job) -> dict[str, list[float]]:
    return dict(json.loads((job.run_dir / "trained.json").read_text(encoding="utf-8"))["log_probabilities"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama-lora", "gpt2-lora"])
def test_the_adapter_opens_with_plain_peft_and_gives_the_trained_logits(name: str, finished: dict[str, Path]) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    job = load_job(finished[name])
    adapter = finished[name] / "result" / "adapter"
    base = AutoModelForCausalLM.from_pretrained(str(job.base), dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(adapter)).eval()
    rows = [encoded for _row, encoded in certified_rows(job)]
    found = model_log_probabilities(model, rows, pad_id=job.tokenizer.pad_id)
    for row_id, values in trained_probabilities(job).items():
        assert found[row_id] == pytest.approx(values, abs=1e-5)
    with model.disable_adapter():
        untrained = model_log_probabilities(model, rows, pad_id=job.tokenizer.pad_id)
    assert untrained[rows[0].id] != pytest.approx(found[rows[0].id], abs=0.05)
    chat = [{"role": "user", "content": "1 Elm Street"}]
    ids = AutoTokenizer.from_pretrained(str(adapter)).apply_chat_template(
        chat, add_generation_prompt=True, return_dict=False
    )
    assert list(ids) == list(ChatTokenizer.load(adapter).render_prompt(certified_messages("1 Elm Street")).ids)
    card = (adapter / "README.md").read_text(encoding="utf-8")
    assert f"stop token `{job.tokenizer.stop_token}`" in card
    assert "library_name: peft" in card
    assert str(job.base.parent) not in (adapter / "adapter_config.json").read_text(encoding="utf-8") + card


def certified_messages(content: str) -> list:  # type: ignore[type-arg]  # a list of Message
    from apps.providers.engine.messages import Message

    return [Message(role="user", content=content)]


@pytest.mark.parametrize("name", ["llama-lora", "gpt2-lora", "gpt2-full"])
def test_the_certificate_compares_every_form_with_the_trained_model(name: str, finished: dict[str, Path]) -> None:
    result = finished[name] / "result"
    certificate = json.loads((result / "certificate.json").read_text(encoding="utf-8"))
    reloaded = [] if name.endswith("full") else ["reloaded"]
    assert certificate["forms"] == ["trained", *reloaded, "merged", "converted"]
    assert certificate["passed"]
    assert certificate["largest_difference"] < 1e-4
    assert len(certificate["examples"]) == 3
    assert all(example["last_trained_id"] == certificate["stop_id"] for example in certificate["examples"])
    assert verify(result) == []


def test_a_row_of_more_than_1024_tokens_is_certified_to_its_end(tmp_path: Path) -> None:
    base = build_model(tmp_path / "base", "llama", positions=2048)
    run_dir = write_run(tmp_path / "run", base, train=4, certify_rows=1, max_length=2048, epochs=1)
    content = "101 Oak Avenue, Springfield " * 80
    write_rows(run_dir / "validation.jsonl", [row(100, messages=[{"role": "user", "content": content}])])
    assert finish(run_dir) == "finished"
    certificate = json.loads((run_dir / "result" / "certificate.json").read_text(encoding="utf-8"))
    (example,) = certificate["examples"]
    assert len(example["prompt_ids"]) > 1100
    assert certificate["passed"]
    assert "converted" in example["log_probability"]


@pytest.mark.parametrize("name", ["llama-lora", "gpt2-full"])
def test_ctranslate2_answers_with_the_tokens_of_transformers(name: str, finished: dict[str, Path]) -> None:
    import ctranslate2
    from transformers import AutoModelForCausalLM

    result = finished[name] / "result"
    tokenizer = ChatTokenizer.load(result / "ct2")
    prompt = list(tokenizer.render_prompt(certified_messages("101 Oak Avenue")).ids)
    generator = ctranslate2.Generator(str(result / "ct2"), compute_type="float32")
    served = generator.generate_batch([tokenizer.tokens(prompt)], max_length=12, sampling_topk=1,
                                      include_prompt_in_result=False, end_token=tokenizer.stop_token)[0]  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(str(result / "merged"), dtype=torch.float32)
    reference = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
                               max_new_tokens=12)  # fmt: skip
    assert tokenizer.decode(tokenizer.ids(served.sequences[0])) == tokenizer.decode(
        reference[0, len(prompt) :].tolist()
    )


@pytest.mark.parametrize("form", ["merged", "adapter"])
def test_a_tampered_form_is_detected(form: str, finished: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    run_dir = copy_run(finished["llama-lora"], tmp_path / "run")
    job = load_job(run_dir)
    file = run_dir / "result" / form / ("model.safetensors" if form == "merged" else "adapter_model.safetensors")
    tensors = load_file(str(file))
    name = next(key for key in tensors if "q_proj" in key)
    tensors[name] = tensors[name] * 1.5 + 0.05
    save_file(tensors, str(file), metadata={"format": "pt"})
    assert verify(run_dir / "result") == [f"{form}/{file.name} is not the file that was certified."]
    certificate = certify(job, run_dir / "result", trained_probabilities(job), threads=1)
    assert not certificate["passed"]
    assert certificate["largest_difference"] > job.spec.certify_tolerance
    with pytest.raises(TrainingError, match="The exported model is not the trained one"):
        require_passed(certificate)


def test_a_served_template_that_differs_is_detected(finished: dict[str, Path], tmp_path: Path) -> None:
    run_dir = copy_run(finished["llama-lora"], tmp_path / "run")
    template = run_dir / "result" / "ct2" / "chat_template.jinja"
    template.write_text(template.read_text(encoding="utf-8").replace("Be helpful", "Be brief"), encoding="utf-8")
    job = load_job(run_dir)
    certificate = certify(job, run_dir / "result", trained_probabilities(job), threads=1)
    assert certificate["problems"] == [
        f'Row "r{number}": the prompt ids served from ct2/ are not those that were trained.'
        for number in (100, 101, 102)
    ]


def test_a_finished_run_started_again_says_so_and_changes_nothing(finished: dict[str, Path], tmp_path: Path) -> None:
    run_dir = copy_run(finished["gpt2-lora"], tmp_path / "run")
    before = read_events(run_dir / "events.jsonl")
    assert finish(run_dir) == "finished"
    after = read_events(run_dir / "events.jsonl")[len(before) :]
    again = [event for event in after if event["type"] == "finished"]
    assert [event["seq"] for event in after] == list(range(len(before) + 1, len(before) + len(after) + 1))
    assert {key: again[0][key] for key in ("files", "certificate", "train_seconds")} == {
        key: before[-1][key] for key in ("files", "certificate", "train_seconds")
    }
    assert not any(event["type"] == "phase" for event in after)


def test_a_run_killed_between_merge_and_conversion_goes_on_without_training(
    finished: dict[str, Path], tmp_path: Path
) -> None:
    run_dir = copy_run(finished["gpt2-lora"], tmp_path / "run")
    expected = json.loads((run_dir / "result" / "certificate.json").read_text(encoding="utf-8"))
    (run_dir / "result").rename(run_dir / "result.partial")
    shutil.rmtree(run_dir / "result.partial" / "ct2")
    (run_dir / "result.partial" / ".ct2.writing").mkdir()
    for name in ("certificate.json", "summary.json"):
        (run_dir / "result.partial" / name).unlink()
    seen = len(read_events(run_dir / "events.jsonl"))
    assert finish(run_dir) == "finished"
    phases = [event["phase"] for event in read_events(run_dir / "events.jsonl", after=seen) if event["type"] == "phase"]
    assert list(dict.fromkeys(phases)) == ["convert", "certify"]
    certificate = json.loads((run_dir / "result" / "certificate.json").read_text(encoding="utf-8"))
    weights = ("adapter/adapter_model.safetensors", "merged/model.safetensors", "ct2/model.bin")
    assert {name: certificate["files"][name] for name in weights} == {name: expected["files"][name] for name in weights}
    assert not (run_dir / "result.partial").exists()
    assert verify(run_dir / "result") == []


def test_a_result_that_was_forgotten_is_exported_again_from_the_last_checkpoint(
    finished: dict[str, Path], tmp_path: Path
) -> None:
    run_dir = copy_run(finished["llama-lora"], tmp_path / "run")
    weights = run_dir / "result" / "merged" / "model.safetensors"
    before = weights.read_bytes()
    forget_result(run_dir)
    assert not weights.exists()
    assert finish(run_dir) == "finished"
    assert weights.read_bytes() == before
    assert verify(run_dir / "result") == []


def test_an_architecture_that_ctranslate2_does_not_know_is_exported_without_it(
    finished: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.training.engine import export

    run_dir = copy_run(finished["gpt2-lora"], tmp_path / "run")
    (run_dir / "result").rename(run_dir / "result.partial")
    shutil.rmtree(run_dir / "result.partial" / "ct2")
    monkeypatch.setattr(export, "convert_to_ct2", lambda _source, _destination: "No conversion is registered for X")
    assert finish(run_dir) == "finished"
    certificate = json.loads((run_dir / "result" / "certificate.json").read_text(encoding="utf-8"))
    assert certificate["forms"] == ["trained", "reloaded", "merged"]
    warnings = [event["text"] for event in read_events(run_dir / "events.jsonl") if event.get("level") == "warning"]
    assert any("CTranslate2 cannot serve this architecture" in text for text in warnings)


def test_a_cancel_before_the_conversion_is_heard(finished: dict[str, Path], tmp_path: Path) -> None:
    run_dir = copy_run(finished["gpt2-lora"], tmp_path / "run")
    (run_dir / "result").rename(run_dir / "result.partial")
    (run_dir / "result.partial" / "summary.json").unlink()
    assert finish(run_dir, stop=lambda: "cancel") == "cancel"
    assert read_events(run_dir / "events.jsonl")[-1]["reason"] == "cancel"
    assert not (run_dir / "result").exists()


def test_events_tell_the_whole_story_of_a_run(finished: dict[str, Path]) -> None:
    events = read_events(finished["llama-lora"] / "events.jsonl")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    by_type: dict[str, list[dict]] = {}  # type: ignore[type-arg]
    for event in events:
        by_type.setdefault(event["type"], []).append(event)
    ended = {event["phase"] for event in by_type["phase"] if event["state"] == "finished"}
    assert ended == {"load", "preflight", "train", "validate", "sample", "merge", "convert", "certify"}
    assert by_type["preflight"][0]["total_steps"] == 10
    assert [event["final"] for event in by_type["validation"]] == [False, True]
    assert by_type["validation"][1]["answer_loss"] < by_type["validation"][0]["answer_loss"]
    assert [event["step"] for event in by_type["sample"]] == [0, 10]
    assert set(by_type["sample"][0]["examples"][0]) == {"id", "prompt", "expected", "base", "now"}
    last_step = [event for event in by_type["progress"] if event["phase"] == "train"][-1]
    assert (last_step["done"], last_step["total"], last_step["unit"]) == (10, 10, "step")
    assert 0 < last_step["seconds_left_low"] <= last_step["seconds_left_high"]
    assert last_step["memory_mib"] > 0
    assert events[-1]["type"] == "finished"
