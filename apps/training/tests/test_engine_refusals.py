from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apps.training.engine.errors import TrainingError
from apps.training.engine.job import load_job
from apps.training.engine.spec import TrainingSpec, read_spec, spec_from_dict
from apps.training.tests.tiny_models import build_model, row, train_here, write_rows, write_run


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("base"), "llama")


def refusal(run_dir: Path) -> TrainingError:
    with pytest.raises(TrainingError) as caught:
        load_job(run_dir)
    return caught.value


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"answer": ""}, 'Training row "r4" cannot be rendered: The answer is empty'),
        ({"answer": "12 <|im_end|> more"}, "contains the model's own control token <|im_end|>"),
        ({"answer": "wqx " * 60}, "its answer would be cut"),
        ({"answer": None}, 'train.jsonl line 5: row "r4" has no text "answer"'),
        ({"messages": []}, "needs at least one message"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "should be a list of"),
        ({"messages": [{"role": "user", "content": 5}]}, "message with text content"),
        ({"weight": -1}, "should be a number of 0 or more"),
        ({"id": "r3"}, 'Two training rows have the id "r3"'),
        ({"id": "r100"}, "both a training and a validation row"),
    ],
)
def test_a_row_that_could_not_be_learned_is_refused_by_name(
    changes: dict[str, Any], text: str, base: Path, tmp_path: Path
) -> None:
    run_dir = write_run(tmp_path / "run", base)
    write_rows(run_dir / "train.jsonl", [row(number) for number in range(4)] + [row(4, **changes)])
    error = refusal(run_dir)
    assert text in error.text
    assert (error.code, error.row) == ("rows", changes.get("id", "r4"))


def test_a_row_longer_than_max_length_says_how_long_it_is(base: Path, tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", base, max_length=30)
    error = refusal(run_dir)
    assert error.text.startswith('Training row "r0" has ')
    assert error.text.endswith(
        "tokens and max_length is 30: its answer would be cut. Raise max_length or shorten the row."
    )


def test_rows_whose_weights_are_all_zero_train_no_token(base: Path, tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", base)
    write_rows(run_dir / "train.jsonl", [row(number, weight=0) for number in range(4)])
    assert "No token of any training row would be trained" in refusal(run_dir).text


def test_a_stop_token_that_is_not_trained_last_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.providers.engine.chat import ChatTokenizer, RenderedExample

    render = ChatTokenizer.render_example

    def forget_the_stop(self: ChatTokenizer, messages: Any, answer: str) -> RenderedExample:
        whole = render(self, messages, answer)
        return RenderedExample(whole.ids[:-1], whole.prompt_length, whole.trained[:-1])

    monkeypatch.setattr(ChatTokenizer, "render_example", forget_the_stop)
    error = refusal(write_run(tmp_path / "run", base))
    assert 'Training row "r0" does not train the stop token <|im_end|>' in error.text


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("train.jsonl", None, "train.jsonl does not exist"),
        ("train.jsonl", "", "train.jsonl is empty"),
        ("validation.jsonl", "{", "validation.jsonl line 1 is not valid JSON"),
        ("validation.jsonl", "[]", 'should be an object with a text "id"'),
        ("spec.json", None, "spec.json does not exist"),
        ("spec.json", "{", "is not valid JSON"),
    ],
)
def test_a_missing_or_broken_file_is_named(
    name: str, content: str | None, text: str, base: Path, tmp_path: Path
) -> None:
    run_dir = write_run(tmp_path / "run", base)
    if content is None:
        (run_dir / name).unlink()
    else:
        (run_dir / name).write_text(content, encoding="utf-8")
    assert text in refusal(run_dir).text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"epoch": 3}, "epoch is not a known field"),
        ({"epochs": 0}, "epochs should be at least 1"),
        ({"epochs": "2"}, 'epochs should be a whole number, not "2"'),
        ({"learning_rate": True}, "learning_rate should be a number, not true"),
        ({"learning_rate": 0}, "learning_rate should be a positive number"),
        ({"method": "qlora"}, 'method should be "lora" or "full"'),
        ({"precision": "int8"}, "precision should be"),
        ({"sample_every_seconds": 61}, "samples must not slow training down"),
        ({"max_new_tokens": 65}, "samples must not slow training down"),
        ({"lora": {"rank": 3}}, "lora.rank is not a known field"),
        ({"lora": {"dropout": 1.0}}, "0 ≤ dropout < 1"),
        ({"lora": {"layers": "lower-half"}}, "lora.layers should be"),
    ],
)
def test_a_wrong_spec_is_refused_by_field(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(TrainingError) as caught:
        spec_from_dict({"base_model": "m"} | changes)
    assert caught.value.code == "spec"
    assert text in caught.value.text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"lora": {"targets": ["q_proj", "nothing"]}}, 'lora.targets names "nothing"'),
        ({"lora": {"layers": [2]}}, "lora.layers should name layers from 0 to 1"),
        ({"max_length": 4000}, "this model reads at most 128 tokens"),
    ],
)
def test_a_spec_that_does_not_fit_the_model_is_refused(
    changes: dict[str, Any], text: str, base: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=text):
        train_here(write_run(tmp_path / "run", base, **changes))


def test_sample_rows_have_to_be_validation_rows(base: Path, tmp_path: Path) -> None:
    assert "is not among the validation rows" in refusal(write_run(tmp_path / "run", base, sample_ids=["r0"])).text


def test_a_spec_goes_to_json_and_back_unchanged(tmp_path: Path) -> None:
    spec = spec_from_dict({"base_model": "m", "sample_ids": ["a"], "lora": {"targets": ["q_proj"], "layers": [0, 1]}})
    (tmp_path / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    assert read_spec(tmp_path / "spec.json") == spec
    assert read_spec(tmp_path / "spec.json").sha256() == spec.sha256()
    assert TrainingSpec(base_model="m", seed=1).sha256() != TrainingSpec(base_model="m").sha256()


def test_adapter_goes_where_the_spec_says(base: Path, tmp_path: Path) -> None:
    from apps.training.engine.model import load_trainable, trainable_parameters

    def adapted(lora: dict[str, Any]) -> set[str]:
        spec = spec_from_dict({"base_model": str(base), "max_length": 64, "lora": lora})
        names = trainable_parameters(load_trainable(spec, base))
        return {name.split("model.layers.")[1].split(".lora_")[0] for name in names}

    every = adapted({"r": 2})
    assert len(every) == 2 * 7
    assert adapted({"r": 2, "layers": "upper-half"}) == {name for name in every if name.startswith("1.")}
    assert adapted({"r": 2, "targets": ["q_proj"], "layers": [0]}) == {"0.self_attn.q_proj"}


def test_the_documented_defaults_are_the_specs_own() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "training-engine.md").read_text(encoding="utf-8")
    spec = json.loads(TrainingSpec(base_model="m").to_json())
    lora = spec.pop("lora")
    documented = text.split("## spec.json")[1].split("## Events")[0]
    assert all(f"`{name}`" in documented for name in spec)
    assert all(f"`lora.{name}`" in documented for name in lora)
