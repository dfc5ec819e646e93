"""Bringing a model in: what is refused and why, and that what is taken is served with the answers of transformers."""

from __future__ import annotations

import io
import json
import os
import random
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.core.engine.messages import Sentence
from apps.core.tests import warm
from apps.providers.engine.chat import ChatTokenizer
from apps.providers.engine.importing import archive
from apps.providers.engine.importing.archive import unpack
from apps.providers.engine.importing.errors import ImportRefused
from apps.providers.engine.importing.files import check_source, copy_folder, find_model_folder
from apps.providers.engine.messages import Message
from apps.providers.tests.inference_support import REPOSITORY
from apps.training.tests.tiny_models import build_model

MANY = 10**9


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random GPT-2 with the very files that its repository has: no chat template, no end token by name, no pad."""
    folder = build_model(tmp_path_factory.mktemp("gpt2") / "gpt2", "gpt2")
    for name in ("chat_template.jinja", "encoder.json", "vocab.bpe"):
        (folder / name).unlink()
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 128}', encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("llama") / "llama", "llama")


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def zipped(path: Path, files: dict[str, bytes], *, kind: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = kind << 16
            packed.writestr(member, content, zipfile.ZIP_DEFLATED)
    return path


def refusal(work: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ImportRefused) as refused:
        work()
    return refused.value.code, str(refused.value)


# --- archives


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../config.json", "leads out of it"),
        ("/etc/config.json", "leads out of it"),
        ("a\\..\\config.json", "leads out of it"),
        ("model/pytorch_model.bin", "pickled objects"),
        ("model/training_args.bin", "pickled objects"),
        ("model/modeling_evil.py", "program code"),
    ],
)
def test_a_harmful_member_refuses_the_whole_archive(tmp_path: Path, name: str, said: str) -> None:
    for number, path in enumerate((zipped(tmp_path / "a.zip", {name: b"{}"}), tarred(tmp_path / "a.tar", name))):
        code, text = refusal(lambda path=path, n=number: unpack(path, tmp_path / f"out{n}", most_bytes=MANY))
        assert (code, said in text) == ("hostile", True), text
    assert not list(tmp_path.glob("**/etc"))
    assert not (tmp_path / "config.json").exists()


def tarred(path: Path, name: str, kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w") as packed:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, "/etc/passwd", 2 if kind == tarfile.REGTYPE else 0
        packed.addfile(member, io.BytesIO(b"{}") if member.size else None)
    return path


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tarred(tmp_path / "a.tar", "config.json", kind)
    assert refusal(lambda: unpack(path, tmp_path / "out", most_bytes=MANY))[0] == "hostile"


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"config.json": b"/etc/passwd"}, kind=0o120777)
    assert "link" in refusal(lambda: unpack(path, tmp_path / "out", most_bytes=MANY))[1]


def test_a_zip_bomb_is_stopped_by_what_it_writes_not_by_what_it_says(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"model.safetensors": bytes(64 * 1024 * 1024)})
    assert path.stat().st_size < 100_000
    code, text = refusal(lambda: unpack(path, tmp_path / "out", most_bytes=MANY))
    assert (code, "zip bomb" in text) == ("hostile", True)
    written = sum(file.stat().st_size for file in (tmp_path / "out").rglob("*") if file.is_file())
    assert written <= archive.SMALL_BYTES + 1024 * 1024


def test_a_file_that_is_no_archive_and_a_name_that_comes_twice_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"hello" * 100)
    assert refusal(lambda: unpack(tmp_path / "a.zip", tmp_path / "o", most_bytes=MANY))[0] == "not_a_model"
    path = zipped(tmp_path / "b.zip", {"x/config.json": b"{}", "x/Config.JSON": b"{}"})
    assert "twice" in refusal(lambda: unpack(path, tmp_path / "o2", most_bytes=MANY))[1]


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("where", [0.2, 0.5, 0.9])
def test_an_archive_that_was_damaged_on_its_way_is_refused(tmp_path: Path, kind: str, where: float) -> None:
    content = random.Random(1).randbytes(20_000).hex().encode()  # noqa: S311 - the same bytes every time
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        zipped(path, {"config.json": content})
    else:
        with tarfile.open(path, "w:gz") as packed:
            member = tarfile.TarInfo("config.json")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    damaged = bytearray(path.read_bytes())
    at = int(len(damaged) * where)
    damaged[at : at + 64] = bytes(byte ^ 0xFF for byte in damaged[at : at + 64])
    path.write_bytes(damaged)
    code, text = refusal(lambda: unpack(path, tmp_path / "out", most_bytes=MANY))
    assert (code, "damaged" in text) == ("not_a_model", True)


def test_only_files_of_a_model_are_unpacked_and_the_others_are_named(tmp_path: Path, llama: Path) -> None:
    files = {f"my-model/{name}": content for name, content in files_of(llama).items()}
    left = unpack(zipped(tmp_path / "a.zip", {**files, "my-model/notes.docx": b"x"}), tmp_path / "o", most_bytes=MANY)
    assert left == ("my-model/notes.docx",)
    found = check_source(find_model_folder(tmp_path / "o"))
    assert (found.kind, found.folder.name, found.parameters > 10_000) == ("model", "my-model", True)


# --- contents


def changed(source: Path, folder: Path, name: str, content: bytes | dict[str, Any]) -> Path:
    """A copy of a model with one file replaced."""
    copy_folder(source, folder)
    (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", {"auto_map": {"AutoModel": "evil--x.Y"}}, "asks for program code"),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["a.B", None]}}, "asks for program code"),
        ("adapter_config.json", {"auto_mapping": {"parent_library": "evil.module"}}, "asks for program code"),
        ("adapter_config.json", {"peft_type": "IA3"}, "only LORA adapters"),
        ("config.json", {"_attn_implementation": "someone/kernel"}, "kernel from elsewhere"),
        ("config.json", b"[" * 200_000, "not valid JSON"),
        ("config.json", b"[]", "should hold a JSON object"),
        ("model.safetensors", b"\x80\x04\x95 a pickle by another name", "no safetensors file"),
        ("model.safetensors", b"\xff" * 64, "no safetensors file"),
        ("model.safetensors.index.json", {"weight_map": {"a": "../../secret.safetensors"}}, "not beside it"),
    ],
)
def test_a_folder_that_is_not_what_it_says_is_refused(
    tmp_path: Path, llama: Path, name: str, content: Any, said: str
) -> None:
    folder = changed(llama, tmp_path / "m", name, content)
    assert said in refusal(lambda: check_source(folder))[1]


def test_a_link_in_a_folder_on_this_machine_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").symlink_to("/etc/passwd")
    assert "link" in refusal(lambda: copy_folder(tmp_path / "m", tmp_path / "copy"))[1]


# --- the process


def job(folder: Path, step: str, **spec: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    (folder / "spec.json").write_text(json.dumps({"threads": 1, **spec}), encoding="utf-8")
    command = [sys.executable, "-m", "apps.providers.engine.importing", step, str(folder)]
    with (folder / "step.log").open("ab") as output:
        process = warm.Popen(command, cwd=REPOSITORY, env=os.environ, stdout=output)
    code = process.wait(180)
    assert (folder / "result.json").is_file(), (folder / "step.log").read_text()
    return {"exit": code, **json.loads((folder / "result.json").read_text(encoding="utf-8"))}


def taken(folder: Path, path: Path, **spec: Any) -> dict[str, Any]:
    found = job(folder, "unpack", **{"from": "folder", "path": str(path)})
    assert found["exit"] == 0, found
    return job(folder, "prepare", source=found["folder"], **spec)


def test_a_gpt2_as_its_repository_has_it_is_served_with_the_answers_of_transformers(tmp_path: Path, gpt2: Path) -> None:
    info = taken(tmp_path / "job", gpt2)
    assert (info["exit"], info["backend"], info["context_length"]) == (0, "ctranslate2", 128)
    assert info["proof"] == {"prompts": 3, "tokens": info["proof"]["tokens"], "compared": True, "equal": True}
    assert info["stop_token"] == "<|endoftext|>"
    for name in ("hf", "ct2"):
        served = ChatTokenizer.load(tmp_path / "job" / "result" / name)
        assert served.pad_id == served.stop_id
        assert served.render_text([Message("user", "Hi")]) == "User:\nHi\n\nAssistant:\n"
    assert json.loads((gpt2 / "tokenizer_config.json").read_text()) == {"model_max_length": 128}


def test_an_adapter_is_merged_into_its_base(tmp_path: Path, llama: Path) -> None:
    adapter = build_adapter(llama, tmp_path / "adapter")
    info = taken(tmp_path / "job", adapter, base=str(llama))
    assert (info["exit"], info["backend"], info["proof"]["equal"]) == (0, "ctranslate2", True)
    assert {path.name for path in (tmp_path / "job" / "result").iterdir()} == {"adapter", "merged", "ct2", "info.json"}


def test_an_adapter_of_another_base_is_refused(tmp_path: Path, llama: Path, gpt2: Path) -> None:
    info = taken(tmp_path / "job", build_adapter(llama, tmp_path / "adapter"), base=str(gpt2))
    assert (info["exit"], info["code"]) == (2, "no_base")


def build_adapter(base: Path, folder: Path) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(str(base))
    tuned = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    tuned.save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").write_text("card")
    return folder


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}", "was stopped"),
        ("{{ messages[0].content * 10**10 }}", "was stopped"),
        ("{{ ''.__class__ }}", "makes no text"),
        ("{% for m in messages %}", "cannot be read"),
    ],
)
def test_a_chat_template_that_harms_is_refused_before_anything_is_converted(
    tmp_path: Path, llama: Path, template: str, said: str
) -> None:
    folder = changed(llama, tmp_path / "m", "chat_template.jinja", template.encode())
    info = taken(tmp_path / "job", folder)
    assert (info["exit"], info["code"]) == (2, "not_a_model")
    assert said in str(Sentence.from_json(info["sentence"]))
    assert {path.name for path in (tmp_path / "job" / "result").iterdir()} == {"hf"}


def test_without_a_hub_the_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    hub: dict[str, Any] = {
        "repository": "openai-community/gpt2",
        "revision": "0" * 40,
        "weights_bytes": 1,
        "weights_sha256": "",
    }
    hub["spare_bytes"] = 0
    found = job(tmp_path / "job", "unpack", **{"from": "hub", "hub": hub})
    assert (found["exit"], found["code"]) == (2, "hub_unreachable")
    assert "give its folder here" in found["sentence"]["template"]
