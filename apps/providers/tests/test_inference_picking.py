from __future__ import annotations

from pathlib import Path

import pytest

from apps.providers.engine.inference.catalogue import Catalogue
from apps.providers.engine.inference.errors import ApiError
from apps.providers.engine.inference.picking import MAX_BATCH_TOKENS, PrefixMemory, Turns, pick
from apps.providers.engine.inference.sequence import Sampling, Sequence
from apps.providers.tests.test_inference_sequence import Characters


def waiting(
    length: int, *, model: str = "m", prefix: int = 0, temperature: float = 0.0, max_tokens: int = 10
) -> Sequence:
    return Sequence(
        request_id="r", model=model, prompt_ids=tuple(range(length)), prefix_length=prefix, max_tokens=max_tokens,
        sampling=Sampling(temperature), stop_ids=frozenset({0}), stop=(), tokenizer=Characters(), wake=lambda: None,
    )  # fmt: skip


def test_a_batch_holds_the_oldest_and_those_nearest_to_it_in_length() -> None:
    queue = [waiting(20), waiting(40), waiting(21), waiting(18)]
    assert pick(queue, PrefixMemory(), max_batch=3).sequences == (queue[0], queue[2], queue[3])


def test_other_models_and_other_sampling_wait_for_their_own_batch() -> None:
    queue = [waiting(20), waiting(20, model="n"), waiting(20, temperature=1.0), waiting(20)]
    assert pick(queue, PrefixMemory(), max_batch=16).sequences == (queue[0], queue[3])


def test_models_take_turns_and_each_ones_sequences_go_as_they_came() -> None:
    queue = [waiting(20), waiting(21), waiting(20, model="n"), waiting(20, model="o"), waiting(21, model="n")]
    turns, served = Turns(), []
    while queue:
        [sequence] = pick(turns.ordered(queue), PrefixMemory(), max_batch=1).sequences
        turns.took(sequence.model)
        queue.remove(sequence)
        served.append((sequence.model, len(sequence.prompt_ids)))
    assert served == [("m", 20), ("n", 20), ("o", 20), ("m", 21), ("n", 21)]


def test_a_prompt_of_very_different_length_is_left_out() -> None:
    queue = [waiting(20), waiting(400)]
    assert pick(queue, PrefixMemory(), max_batch=16).sequences == (queue[0],)


def test_a_prefix_is_cached_only_when_somebody_shares_it() -> None:
    memory = PrefixMemory()
    first, second = waiting(30, prefix=20), waiting(32, prefix=20)
    memory.note(first)
    assert pick([first], memory, max_batch=16).prefix == ()
    memory.note(second)
    group = pick([first, second], memory, max_batch=16)
    assert group.prefix == tuple(range(20))
    assert group.suffix(second) == tuple(range(20, 32))


def test_an_answer_that_gave_way_continues_behind_its_prompt() -> None:
    sequence = waiting(5)
    sequence.output_ids.extend([77, 78])
    group = pick([sequence], PrefixMemory(), max_batch=16)
    assert group.suffix(sequence) == (0, 1, 2, 3, 4, 77, 78)


def test_a_batch_stays_within_its_memory() -> None:
    queue = [waiting(1500, max_tokens=500) for _ in range(16)]
    group = pick(queue, PrefixMemory(), max_batch=16)
    assert len(group.sequences) == MAX_BATCH_TOKENS // 2000 == 3


def model_folder(root: Path, name: str) -> None:
    folder = root / name / "ct2"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"x")
    (folder / "config.json").write_text('{"max_position_embeddings": 9000}')


def test_the_context_is_the_models_own_up_to_the_limit(tmp_path: Path) -> None:
    model_folder(tmp_path, "small")
    assert Catalogue(tmp_path, max_context=4096).find("small").context_length == 4096
    assert Catalogue(tmp_path, max_context=10_000).find("small").context_length == 9000


@pytest.mark.parametrize(
    "name", ["../secret", "..", ".", "", "/etc", "small/ct2", "small\x00", "SMALL/..", "s" * 200, ".hidden"]
)
def test_a_path_is_not_a_model_id(tmp_path: Path, name: str) -> None:
    model_folder(tmp_path / "models", "small")
    model_folder(tmp_path, "secret")
    with pytest.raises(ApiError) as caught:
        Catalogue(tmp_path / "models", max_context=4096).find(name)
    assert caught.value.status == 404


def test_a_link_out_of_the_folder_is_not_a_model(tmp_path: Path) -> None:
    model_folder(tmp_path, "secret")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "inside").symlink_to(tmp_path / "secret")
    catalogue = Catalogue(tmp_path / "models", max_context=4096)
    assert catalogue.all() == []
    with pytest.raises(ApiError):
        catalogue.find("inside")
