"""What the second pass over staged rows counts and compares, and what it does not."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from apps.experiments.engine import arrow
from apps.experiments.engine.intake.__main__ import main
from apps.experiments.engine.near_duplicates import THRESHOLD, Union, jaccard, join_similar, shingles
from apps.experiments.engine.text import fold_spaces, normalise_input

BLANKS = " \t\n\r\x0b\x0c\x1c\x85\xa0\u2003\u3000"


def staged(folder: Path, rows: list[tuple[str, str]], **spec: Any) -> dict[str, Any]:
    file = folder / "upload.jsonl"
    file.write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in rows))
    content = {"file": str(file), "mapping": {"input": "text", "expected": "label"}, "split_seed": 7, **spec}
    (folder / "spec.json").write_text(json.dumps(content))
    assert main(["stage", str(folder)]) == 0
    report: dict[str, Any] = json.loads((folder / "report.json").read_bytes())
    return report


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer that has one token for each word."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    folder = tmp_path_factory.mktemp("tokenizer")
    words = Tokenizer(WordLevel({"?": 0}, unk_token="?"))  # noqa: S106  # a token of text
    words.pre_tokenizer = WhitespaceSplit()
    words.save(str(folder / "tokenizer.json"))
    return folder


# --- figures


def test_tokens_are_those_of_the_tokenizer(tmp_path: Path, tokenizer: Path) -> None:
    rows = [(" ".join(f"w{n}x{place}" for place in range(n)), "a b" if n % 2 else "c") for n in range(1, 40)]
    tokens = staged(tmp_path, rows, tokenizer=str(tokenizer))["tokens"]
    assert [tokens["input"][name] for name in ("min", "p50", "max")] == [1, 20, 39]
    assert sum(tokens["input"]["counts"]) == 39
    assert [tokens["expected"][name] for name in ("min", "p50", "max")] == [1, 2, 2]


def test_an_answer_with_more_tokens_than_the_room_is_left_out_and_not_counted(tmp_path: Path, tokenizer: Path) -> None:
    rows = [(f"question {n} {n * 7919}", " ".join(["word"] * n)) for n in range(1, 11)]
    found = staged(tmp_path, rows, room={"tokens": 8, "tokenizer": str(tokenizer)})
    assert (found["accepted"], found["left_out"]) == (8, {"answer longer than the model's room": 2})
    assert found["tokens"]["expected"]["max"] == 8
    said = [each["message"] for each in found["problems"]]
    assert said[0] == "The expected answer takes 9 tokens; the model has room for 8."


PERSONAL = {
    "e_mail": ["Write to ann.lee+x@example.co.uk."],
    "phone": ["Call +49 30 1234 5678", "Call 555-123-4567", "Call (020) 7946 0958", "Call 01 23 45 67 89"],
    "iban": ["Pay to DE89370400440532013000 please"],
}
NOTHING_PERSONAL = [
    "On 2024-01-15 at 10:30", "On 15/01/2024", "Order 1234567890", "Version 10.12.3", "user @ home", "1 000 000",
    "DE89 is a prefix",
]  # fmt: skip


def test_what_looks_like_personal_data_is_counted_by_kind(tmp_path: Path) -> None:
    texts = [text for each in PERSONAL.values() for text in each] + NOTHING_PERSONAL
    found = staged(tmp_path, [(text, "x") for text in texts])
    assert found["personal"] == {kind: len(each) for kind, each in PERSONAL.items()}


# --- near-duplicates

WORDS = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "x", "yz"]), min_size=1, max_size=40)


@examples(max_examples=60, deadline=None)
@given(WORDS, st.integers(0, 40), st.sampled_from(["", "!", "beta", "alpha yz"]))
def test_no_pair_at_the_threshold_is_ruled_out_before_it_is_compared(words: list[str], place: int, added: str) -> None:
    one, two = map(normalise_input, (" ".join(words), " ".join([*words[:place], added, *words[place:]])))
    union = Union(2)
    join_similar([one, two], union)
    assert (union.joined == 1) == (jaccard(shingles(one), shingles(two)) >= THRESHOLD)


def test_what_is_not_compared_is_counted() -> None:
    alike = [f"please read this long instruction with care, then answer number {n}" for n in range(300)]
    union = Union(300)
    assert join_similar(alike, union, most_pairs=600) == 0
    assert union.joined == 299
    union = Union(300)
    assert join_similar(alike, union, most_pairs=20) > 0


# --- texts and arrays


@examples(max_examples=200, deadline=None)
@given(st.text(st.sampled_from(f"abÄé{BLANKS}") | st.characters(exclude_categories=["Cs"]), max_size=12))
def test_a_text_that_needs_no_folding_is_seen_as_such(text: str) -> None:
    folded = fold_spaces(text)
    assert folded == " ".join(folded.split())
    assert fold_spaces(folded) == folded
    assert all(fold_spaces(f"a{blank}{blank}b{blank}") == "a b" for blank in BLANKS)


@examples(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=6))
def test_arrays_are_those_that_arrow_makes_itself(texts: list[str]) -> None:
    assert arrow.strings(texts) == pa.array(texts, pa.string())
    lengths = [len(text) for text in texts]
    assert arrow.positions(lengths) == pa.array(lengths, pa.int64())
    assert arrow.numbers(pa.array([0, *lengths], pa.int32())[1:]).tolist() == lengths
    assert arrow.numbers(pa.chunked_array([pa.array(lengths, pa.int64())] * 2)).tolist() == lengths * 2


def test_neither_an_import_nor_a_page_of_rows_loads_pandas(tmp_path: Path) -> None:
    """It takes 0.3 s and 50 MB, and pyarrow loads it unasked."""
    staged(tmp_path, [(f"text {n} {n * 7919}", "ab"[n % 2]) for n in range(30)])
    program = (
        "import sys, pyarrow.parquet as pq\n"
        "from apps.experiments.engine.intake.__main__ import main\n"
        "from apps.experiments.engine.row_reader import RowReader\n"
        f"main(['stage', {str(tmp_path)!r}])\n"
        f"reader = RowReader(lambda: pq.ParquetFile({str(tmp_path / 'rows.parquet')!r}))\n"
        "page = reader.page('train', offset=0, limit=5)\n"
        "assert reader.by_id(page[3].id) == page[3]\n"
        "print(len(page), 'pandas' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["5", "False"]
