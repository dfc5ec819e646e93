from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from apps.training.engine.data import EncodedRow, epoch_groups, make_batch, padding_share
from apps.training.engine.evaluate import measure
from apps.training.engine.job import load_job
from apps.training.engine.loop import learning_rate
from apps.training.engine.model import has_plain_head, load_base, load_trainable, token_losses, trained_logits
from apps.training.engine.preflight import choose_precision
from apps.training.engine.sample import generate
from apps.training.engine.spec import spec_from_dict
from apps.training.tests.tiny_models import build_model, row, train_here, write_rows, write_run


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    return {kind: build_model(folder / kind, kind) for kind in ("gpt2", "llama")}


def no_dropout(base: Path, run_dir: Path, **spec: object) -> Path:
    return write_run(run_dir, base, train=32, epochs=1, lora={"r": 4, "alpha": 8}, **spec)


def weights_after(run_dir: Path) -> dict[str, torch.Tensor]:
    model = train_here(run_dir).model
    return {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}


@pytest.mark.parametrize("weights", [None, (0.0, 1.0, 2.5)])
def test_the_weights_learned_do_not_depend_on_how_a_step_is_cut_into_passes(
    weights: tuple[float, ...] | None, bases: dict[str, Path], tmp_path: Path
) -> None:
    learned = []
    for batch_size, accumulation in ((1, 16), (4, 4), (16, 1)):
        run_dir = no_dropout(bases["llama"], tmp_path / f"b{batch_size}", batch_size=batch_size,
                             accumulation=accumulation)  # fmt: skip
        if weights is not None:
            rows = [row(number, weight=weights[number % 3]) for number in range(32)]
            write_rows(run_dir / "train.jsonl", rows)
        learned.append(weights_after(run_dir))
    for other in learned[1:]:
        for name, value in learned[0].items():
            torch.testing.assert_close(other[name], value, rtol=2e-3, atol=2e-5, msg=name)


def test_the_step_loss_is_the_weighted_mean_over_trained_tokens(bases: dict[str, Path], tmp_path: Path) -> None:
    run_dir = no_dropout(bases["gpt2"], tmp_path / "run", batch_size=3)
    job = load_job(run_dir)
    rows = [EncodedRow(r.id, r.ids, r.prompt_length, weight=1.0 + i) for i, r in enumerate(job.train[:3])]
    model = load_base(job.base).eval()
    expected_sum = expected_weight = 0.0
    with torch.no_grad():
        for item in rows:
            logits = model(torch.tensor([item.ids])).logits[0].log_softmax(-1)
            for position in range(item.prompt_length, len(item.ids)):
                expected_sum -= item.weight * float(logits[position - 1, item.ids[position]])
                expected_weight += item.weight
        batch = make_batch(rows, pad_id=job.tokenizer.pad_id)
        nll, _right = token_losses(model, batch, plain_head=True, precision="float32")
    assert float((nll * batch.weights).sum() / batch.weights.sum()) == pytest.approx(
        expected_sum / expected_weight, rel=1e-5
    )


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_validation_figures_do_not_depend_on_the_batch_size(
    batch_size: int, bases: dict[str, Path], tmp_path: Path
) -> None:
    job = load_job(write_run(tmp_path / "run", bases["llama"], validation=16))
    model = load_base(job.base)
    both = [
        measure(model, job.validation, pad_id=job.tokenizer.pad_id, batch_size=size, plain_head=True,
                on_rows=lambda done, total: None)
        for size in (batch_size, 7)
    ]  # fmt: skip
    assert both[0].token_loss == pytest.approx(both[1].token_loss, rel=1e-5)
    assert both[0].answer_loss == pytest.approx(both[1].answer_loss, rel=1e-5)
    trained = sum(item.trained_tokens for item in job.validation)
    assert both[0].answer_loss == pytest.approx(both[0].token_loss * trained / len(job.validation), rel=1e-5)


def test_an_answer_counts_as_right_only_if_its_every_token_is(bases: dict[str, Path], tmp_path: Path) -> None:
    job = load_job(write_run(tmp_path / "run", bases["llama"]))
    model = load_base(job.base).eval()
    rows = []
    for number, item in enumerate(job.validation[:4]):
        ids = list(item.ids[: item.prompt_length])
        for _ in range(5):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if number == 3:
            ids[-2] = (ids[-2] + 1) % 300
            ids[-1] = int(model(torch.tensor([ids[:-1]])).logits[0, -1].argmax())
        rows.append(EncodedRow(f"g{number}", tuple(ids), item.prompt_length, 1.0))
    measured = measure(model, rows, pad_id=2, batch_size=4, plain_head=True, on_rows=lambda done, total: None)
    assert (measured.answer_accuracy, measured.token_accuracy) == (0.75, 19 / 20)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_logits_at_trained_positions_are_the_models_own(kind: str, bases: dict[str, Path], tmp_path: Path) -> None:
    job = load_job(write_run(tmp_path / "run", bases[kind]))
    model = load_trainable(job.spec, job.base).eval()
    batch = make_batch(job.train[:5], pad_id=job.tokenizer.pad_id)
    assert has_plain_head(model, batch)
    with torch.no_grad():
        short = trained_logits(model, batch, plain_head=True)
        full = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    assert short.shape == (sum(item.trained_tokens for item in job.train[:5]), full.shape[-1])
    torch.testing.assert_close(short, full.flatten(0, 1)[batch.positions])


def test_a_model_that_scales_its_logits_does_not_take_the_short_way(bases: dict[str, Path], tmp_path: Path) -> None:
    job = load_job(write_run(tmp_path / "run", bases["llama"]))
    model = load_base(job.base)
    model.lm_head.register_forward_hook(lambda _module, _inputs, output: output)
    batch = make_batch(job.train[:2], pad_id=job.tokenizer.pad_id)
    assert has_plain_head(model, batch)
    plain = model.forward

    def scaled(*args: object, **options: object) -> object:
        out = plain(*args, **options)
        out.logits = out.logits * 0.5
        return out

    model.forward = scaled
    assert not has_plain_head(model, batch)


def test_the_embedding_of_a_stop_token_that_also_pads_is_trained(bases: dict[str, Path], tmp_path: Path) -> None:
    """As input it has a gradient of its own: an embedding with a padding_idx would leave it where it was."""
    base = tmp_path / "base"
    shutil.copytree(bases["llama"], base)
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    # Untied: else the gradient of the output layer, which has no padding_idx, would hide that the input's is missing.
    (base / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}), encoding="utf-8")
    job = load_job(write_run(tmp_path / "run", base, method="full"))
    model = load_trainable(job.spec, job.base)
    stop = job.tokenizer.stop_id
    assert job.tokenizer.pad_id == stop == model.config.pad_token_id
    # In the conversation before the answer, as at the end of every turn.
    item = job.train[0]
    assert stop in item.ids[: item.prompt_length]
    nll, _right = token_losses(
        model, make_batch([item], pad_id=job.tokenizer.pad_id), plain_head=True, precision="float32"
    )
    nll.sum().backward()
    embedding = model.get_input_embeddings().weight
    assert embedding is not model.get_output_embeddings().weight
    assert float(embedding.grad[stop].abs().sum()) > 0


def test_targets_and_positions_follow_from_the_prompt_length() -> None:
    rows = [EncodedRow("a", (5, 6, 2, 8, 2), 3, 1.0), EncodedRow("b", (5, 2, 2), 2, 0.5)]
    batch = make_batch(rows, pad_id=2)
    assert batch.targets.tolist() == [8, 2, 2]
    assert batch.positions.tolist() == [2, 3, 5 + 1]
    assert batch.owners.tolist() == [0, 0, 1]
    assert batch.weights.tolist() == [1.0, 1.0, 0.5]
    assert batch.input_ids.tolist() == [[5, 6, 2, 8, 2], [5, 2, 2, 2, 2]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


def test_an_epoch_visits_every_row_once_in_an_order_that_seed_and_epoch_decide() -> None:
    lengths = [(7 * n) % 41 + 5 for n in range(203)]

    def order(**changes: int) -> list[list[int]]:
        return epoch_groups(lengths, **{"seed": 1, "epoch": 0, "rows_per_step": 8, "sort_window": 80} | changes)

    groups = order()
    assert sorted(index for group in groups for index in group) == list(range(203))
    assert order() == groups
    assert order(epoch=1) != groups != order(seed=2)
    assert padding_share(groups, lengths, 8) < 0.5 * padding_share(order(sort_window=1), lengths, 8)


def test_the_learning_rate_warms_up_then_falls_to_its_last_step() -> None:
    spec = spec_from_dict({"base_model": "m", "learning_rate": 1.0, "warmup_steps": 2})
    assert [learning_rate(spec, step=step, total=6) for step in range(6)] == [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    constant = spec_from_dict({"base_model": "m", "learning_rate": 1.0, "schedule": "constant"})
    assert [learning_rate(constant, step=step, total=3) for step in range(3)] == [1.0, 1.0, 1.0]


def test_samples_are_what_transformers_generates_one_by_one(bases: dict[str, Path], tmp_path: Path) -> None:
    job = load_job(write_run(tmp_path / "run", bases["gpt2"]))
    model = load_base(job.base)
    model.train()
    before = torch.get_rng_state()
    batched = generate(model, job.encoded_samples, job.tokenizer, max_new_tokens=8)
    assert torch.equal(before, torch.get_rng_state())
    assert model.training
    model.eval()
    for text, item in zip(batched, job.encoded_samples, strict=True):
        prompt = torch.tensor([item.ids[: item.prompt_length]])
        out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, do_sample=False,
                             pad_token_id=job.tokenizer.pad_id)  # fmt: skip
        assert text == job.tokenizer.decode(out[0, prompt.shape[1] :].tolist())


def test_a_precision_once_chosen_stands_after_a_restart(bases: dict[str, Path], tmp_path: Path) -> None:
    job = load_job(write_run(tmp_path / "run", bases["llama"]))
    model = load_trainable(job.spec, job.base)
    ticks = iter(range(1000))

    def choose(wanted: str) -> str:
        return choose_precision(
            model, job.train, wanted=wanted, batch_size=4, pad_id=2, plain_head=True,
            clock=lambda: float(next(ticks)), chosen_file=job.run_dir / "chosen.json",
        ).precision  # fmt: skip

    assert choose("float32") == "float32"
    assert choose("bfloat16") == "float32"


def test_bfloat16_is_not_tried_without_its_instructions(
    bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.training.engine import preflight

    job = load_job(write_run(tmp_path / "run", bases["llama"]))
    model = load_trainable(job.spec, job.base)

    def choose(capable: bool, name: str, ticks: list[float]) -> preflight.Choice:
        times = iter(ticks)
        monkeypatch.setattr(preflight, "_has", lambda _check: capable)
        return choose_precision(
            model, job.train, wanted="auto", batch_size=4, pad_id=2, plain_head=True,
            clock=lambda: next(times), chosen_file=tmp_path / name,
        )  # fmt: skip

    # The clock is read before and after each of three passes; the first pass of each kind is a warm-up.
    slow, fast, close = [0, 9, 10, 14, 20, 24], [30, 39, 40, 41, 50, 51], [30, 39, 40, 43.5, 50, 53.5]
    without = choose(False, "a", slow)
    assert (without.precision, without.step_seconds) == ("float32", {"float32": 4, "bfloat16": None})
    assert choose(True, "b", slow + fast).precision == "bfloat16"
    assert choose(True, "c", slow + close).precision == "float32"
    assert all(parameter.grad is None for parameter in model.parameters())
