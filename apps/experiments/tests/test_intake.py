"""Files of other people: recognised by content, every problem named with its place, no row lost in silence."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.conf import settings
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from apps.experiments.engine.earlier_file import write_earlier
from apps.experiments.engine.intake.__main__ import main
from apps.experiments.engine.intake.problems import KINDS, formula_safe
from apps.experiments.engine.near_duplicates import THRESHOLD, jaccard, shingles
from apps.experiments.engine.rows import assemble, content_hash, from_parquet
from apps.experiments.engine.splits import SPLITS, split_of
from apps.experiments.tests.world import pairs

TWO = {"input": "text", "expected": "label"}


def run(folder: Path, command: str, content: bytes | str, **spec: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "upload"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "spec.json").write_text(json.dumps({"file": str(file), **spec}))
    assert main([command, str(folder)]) == 0
    found: dict[str, Any] = json.loads((folder / "result.json").read_bytes())
    return found


def inspected(folder: Path, content: bytes | str, **spec: Any) -> dict[str, Any]:
    return run(folder, "inspect", content, **spec)


def staged(folder: Path, content: bytes | str, **spec: Any) -> dict[str, Any]:
    return run(folder, "stage", content, **{"mapping": TWO, "split_seed": 7, **spec})


def problem(found: dict[str, Any], code: str) -> dict[str, Any]:
    matching = [each for each in found["problems"] if each["code"] == code]
    assert matching, (code, found["problems"])
    return matching[0]


def table(rows: list[tuple[str, str]], header: str = "text,label", delimiter: str = ",") -> str:
    return "\n".join([header, *(f"{text}{delimiter}{label}" for text, label in rows)]) + "\n"


def chat(*turns: tuple[str, str]) -> str:
    return json.dumps({"messages": [{"role": role, "content": content} for role, content in turns]})


# --- recognising


@pytest.mark.parametrize(
    ("content", "format_", "delimiter"),
    [
        ("text,label\na,b\nc,d\n", "csv", ","),
        ("text;label\na, b;b\nc;d\n", "csv", ";"),
        ("text\tlabel\na, b\tb\nc\td\n", "tsv", "\t"),
        ('{"text": "a", "label": "b"}\n{"text": "c", "label": "d"}\n', "jsonl", ""),
        ('[{"text": "a", "label": "b"},\n {"text": "c", "label": "d"}]', "json", ""),
    ],
)
def test_a_format_is_known_by_its_content(tmp_path: Path, content: str, format_: str, delimiter: str) -> None:
    found = inspected(tmp_path, content, name="lying.pdf")
    assert (found["format"], found["delimiter"], found["rows"], found["refused"]) == (format_, delimiter, 2, None)
    assert found["columns"] == ["text", "label"]
    assert (found["suggested"]["input"], found["suggested"]["expected"]) == ("text", "label")
    assert [row["input"] for row in found["examples"]][1] == "c"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "The file is empty"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"\x1f\x8b\x08rest", "gzip"),
        (b"PAR1rest", "Parquet"),
        (bytes(range(256)) * 40, "not a text file"),
        (b'{\n "one": {"a": 1},\n "two": {"a": 2}\n}', "one JSON object"),
        (b"just\none\ncolumn\n", "one column"),
        (b"[1, 2", "not a valid JSON list"),
    ],
)
def test_what_is_no_table_is_refused_with_a_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    found = inspected(tmp_path, content)
    assert said in found["refused"]
    assert found["refused_sentence"]["template"]


@pytest.mark.parametrize(
    ("encoding", "name"), [("cp1252", "Windows-1252"), ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16")]
)
def test_another_encoding_is_named_and_read_when_accepted(tmp_path: Path, encoding: str, name: str) -> None:
    content = table([("Café", "a"), ("Straße – 5 €", "b"), *[(f"plain {n}", "a") for n in range(40)]]).encode(encoding)
    found = problem(inspected(tmp_path / "look", content), "encoding")
    assert (found["fixable"], found["fix"]) == (True, f"Read it as {name}.")
    assert staged(tmp_path / "yes", content, fixes=["encoding"])["accepted"] == 42
    texts = pq.read_table(tmp_path / "yes" / "rows.parquet").column("input").to_pylist()
    assert texts[:2] == ["Café", "Straße – 5 €"]
    refused = staged(tmp_path / "no", content, fixes=[])
    if encoding == "cp1252":
        assert refused["left_out"] == {"not Unicode text": 2}
    else:
        assert "UTF-16 text" in refused["refused"]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    found = inspected(tmp_path, b"\xef\xbb\xbf" + table([("a", "b"), ("c", "d")]).encode())
    assert found["columns"] == ["text", "label"]
    assert problem(found, "bom")["effect"] == "fixed"


# --- problems of rows, with line and column


def test_each_problem_of_a_table_is_named_with_its_line(tmp_path: Path) -> None:
    content = (
        "text,label\n"  # 1
        "one thing,good\n"  # 2
        '"over\ntwo lines",bad\n'  # 3
        ",good\n"  # 5
        "no answer,\n"  # 6
        "one  THING,good\n"  # 7
        "one thing,bad\n"  # 8
        "short\n"  # 9
        "wide,good,extra\n"  # 10
        'a "quoted" word,good\n'  # 11: quotes inside an unquoted cell are text
        '"open" quote,bad\n'  # 12
        "nul\x00here,GOOD\n"  # 13
        "odd,great\n"  # 14
    )
    answer = {"format": "label", "labels": ["bad", "good"]}
    found = staged(tmp_path, content, answer=answer)
    places = {each["code"]: (each["line"], each["column"], each["effect"]) for each in found["problems"]}
    assert places == {
        "no_input": (5, "text", "left_out"),
        "no_answer": (6, "label", "left_out"),
        "duplicate": (7, "text", "left_out"),
        "other_answer": (8, "text", "left_out"),
        "ragged": (9, "", "fixed"),
        "extra_cells": (10, "", "left_out"),
        "bad_quotes": (12, "", "left_out"),
        "control": (13, "text", "fixed"),
        "label_spelling": (13, "label", "fixed"),
        "label_unknown": (14, "label", "left_out"),
    } | {"no_answer": places["no_answer"]}
    assert found["counts"]["no_answer"] == 2
    assert found["rows_read"] == 12
    assert found["accepted"] + sum(found["left_out"].values()) == 12
    rows = {row.input: row.expected for row in from_parquet((tmp_path / "rows.parquet").read_bytes())}
    assert rows == {"one thing": "good", "over\ntwo lines": "bad", 'a "quoted" word': "good", "nulhere": "good"}


def test_fixes_that_nobody_accepted_leave_the_row_out(tmp_path: Path) -> None:
    content = "text,label,more\nfull row,good,x\nshort,good\nnul\x00,good,x\nspelled,GOOD,x\n"
    found = staged(tmp_path, content, fixes=[], answer={"format": "label", "labels": ["good"]})
    assert found["accepted"] == 1
    assert found["left_out"] == {
        KINDS["ragged"].reason: 1, KINDS["control"].reason: 1, KINDS["label_spelling"].reason: 1,
    }  # fmt: skip
    assert found["fixed"] == 0


def test_each_problem_of_lines_of_json_is_named(tmp_path: Path) -> None:
    deep = '{"text": ' + "[" * 40 + "]" * 40 + ', "label": "x"}'
    lines = [
        '{"text": "good", "label": "x"}',
        '{"text": "bad" "label": "x"}',
        "[1, 2]",
        deep,
        '{"text": "' + "long " * 500 + '", "label": "x"}',
        '{"text": "object", "label": {"b": [1, 2.5], "a": null}}',
        "",
    ]
    found = staged(tmp_path, "\n".join(lines), limits={"max_line_bytes": 1000})
    assert {each["code"]: each["line"] for each in found["problems"]} == {
        "bad_json": 2, "not_object": 3, "deep_json": 4, "long_line": 5,
    }  # fmt: skip
    assert problem(found, "bad_json")["column"].startswith("byte ")
    rows = from_parquet((tmp_path / "rows.parquet").read_bytes())
    assert [row.expected for row in rows] == ["x", '{"b":[1,2.5],"a":null}']


def test_chat_rows_give_input_answer_and_system_text(tmp_path: Path) -> None:
    lines = [
        chat(("user", "hi"), ("assistant", "hello")),
        chat(("system", "Be brief."), ("user", "and you?"), ("assistant", "fine")),
        chat(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")),
        chat(("user", "only a question")),
        json.dumps({"messages": "none"}),
        json.dumps({"messages": [{"role": "user"}, {"role": "assistant", "content": "x"}]}),
        json.dumps({"messages": [{"role": "user", "content": [1]}, {"role": "assistant", "content": "x"}]}),
    ]
    look = inspected(tmp_path / "look", "\n".join(lines))
    assert (look["shape"], look["suggested"]["keep"]) == ("chat", ["system"])
    found = staged(tmp_path, "\n".join(lines), mapping={"shape": "chat", "keep": ["system"]})
    rows = from_parquet((tmp_path / "rows.parquet").read_bytes())
    assert [(row.input, row.expected, row.columns) for row in rows] == [
        ("hi", "hello", {"system": ""}),
        ("and you?", "fine", {"system": "Be brief."}),
    ]
    assert found["counts"] == {"many_turns": 1, "no_turn": 1, "not_chat": 3}
    assert content_hash(rows) == found["content_hash"]


@pytest.mark.parametrize(
    ("answer", "wrong", "code"),
    [
        ({"format": "number", "tolerance": 0.0}, "nan", "answer_not_number"),
        ({"format": "json", "fields": ["a"]}, '{""a"": [1]}', "answer_not_json"),
        ({"format": "json", "fields": ["a"]}, '{""a"": ""1"", ""b"": ""2""}', "answer_keys"),
    ],
)
def test_an_answer_that_is_none_is_left_out(tmp_path: Path, answer: dict[str, Any], wrong: str, code: str) -> None:
    right = "12.5" if answer["format"] == "number" else '"{""a"": ""x""}"'
    found = staged(tmp_path, f'text,label\nfirst,{right}\nsecond,"{wrong}"\n', answer=answer)
    assert (found["accepted"], found["counts"]) == (1, {code: 1})


def test_an_answer_longer_than_the_models_room_is_left_out(tmp_path: Path) -> None:
    found = staged(tmp_path, table([("one", "x" * 20), ("two", "x" * 21)]), room={"characters": 20})
    assert found["left_out"] == {KINDS["answer_long"].reason: 1}
    assert problem(found, "answer_long")["line"] == 3


# --- what an answer is


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["a", "b", "c"] * 10, {"format": "label", "labels": ["a", "b", "c"]}),
        ([str(n / 4) for n in range(40)], {"format": "number", "tolerance": 0.0}),
        (
            [json.dumps({"city": f"c{n}", "zip": str(n)}) for n in range(30)],
            {"format": "json", "fields": ["city", "zip"]},
        ),
        ([f"sentence number {n}" for n in range(30)], {"format": "text"}),
    ],
)
def test_what_an_answer_is_is_suggested(tmp_path: Path, answers: list[str], expected: dict[str, Any]) -> None:
    lines = [json.dumps({"text": f"row {n}", "label": answer}) for n, answer in enumerate(answers)]
    assert inspected(tmp_path, "\n".join(lines))["suggested"]["answer"] == expected


def test_a_column_that_says_the_same_in_every_row_is_not_suggested_as_input(tmp_path: Path) -> None:
    lines = [f"please help with case {n}\t{('refund', 'delivery')[n % 2]}\tweb" for n in range(30)]
    found = inspected(tmp_path, "\n".join(["Subject line\tTeam\tsource", *lines]))["suggested"]
    assert (found["input"], found["expected"]) == ("Subject line", "Team")


def test_words_that_come_again_and_again_are_the_answer_before_a_last_column_of_numbers(tmp_path: Path) -> None:
    lines = [f"Halden trowel {n},{('garden', 'office')[n % 2]},{n}.50" for n in range(30)]
    found = inspected(tmp_path, "\n".join(["title,shelf,price", *lines]))["suggested"]
    assert (found["input"], found["expected"]) == ("title", "shelf")
    assert found["answer"] == {"format": "label", "labels": ["garden", "office"]}


def test_an_answer_that_begins_with_one_label_for_long_is_still_the_answer(tmp_path: Path) -> None:
    found = inspected(tmp_path, table([(f"row {n}", "common") for n in range(30)]))["suggested"]
    assert (found["input"], found["expected"]) == ("text", "label")


def test_a_label_that_is_seen_once_is_named_with_its_line(tmp_path: Path) -> None:
    content = table([(f"row {n}", "common" if n != 7 else "rare") for n in range(30)])
    found = problem(inspected(tmp_path, content), "label_once")
    assert (found["line"], found["effect"], "“rare”" in found["message"]) == (9, "kept", True)


# --- what comes of it


def test_staged_rows_are_those_that_assemble_makes(tmp_path: Path) -> None:
    made = [*pairs(300), *[(f"{text}.", expected) for text, expected in pairs(40)], pairs(1)[0], ("x", " ")]
    lines = "\n".join(json.dumps({"text": text, "label": expected}) for text, expected in made)
    found = staged(tmp_path, lines)
    same = assemble(made, seed=7)
    assert from_parquet((tmp_path / "rows.parquet").read_bytes()) == same.examples
    assert found["content_hash"] == content_hash(same.examples)
    assert found["left_out"] == same.reasons()
    assert found["splits"] == {split: same.count(split) for split in SPLITS}
    assert found["near_duplicate_groups"] >= 40


def test_rows_of_earlier_versions_keep_their_splits_and_bridges_are_left_out(tmp_path: Path) -> None:
    first = assemble(pairs(60), seed=7).examples
    staged(tmp_path / "one", "\n".join(json.dumps({"text": text, "label": label}) for text, label in pairs(60)))
    earlier = tmp_path / "earlier.parquet"
    write_earlier(earlier, [lambda: pq.ParquetFile(tmp_path / "one" / "rows.parquet")], hashes=["abc"])
    edited = [(f"{row.input}.", row.expected) for row in first]
    lines = "\n".join(json.dumps({"text": text, "label": label}) for text, label in edited)
    found = staged(tmp_path / "two", lines, earlier=str(earlier))
    assert (
        from_parquet((tmp_path / "two" / "rows.parquet").read_bytes())
        == assemble(edited, seed=7, earlier=first).examples
    )
    assert found["earlier_versions"] == ["abc"]


def test_a_group_column_keeps_rows_together_and_near_duplicates_join_groups(tmp_path: Path) -> None:
    rows = [(text, f"user {number // 5}") for number, (text, _expected) in enumerate(pairs(100))]
    rows += [(f"{pairs(1)[0][0]}.", "somebody else"), ("Nothing like the others at all", "somebody else")]
    lines = "\n".join(json.dumps({"text": text, "label": "x", "user": user}) for text, user in rows)
    staged(tmp_path / "one", lines, mapping={**TWO, "group": "user"})
    made = from_parquet((tmp_path / "one" / "rows.parquet").read_bytes())
    groups: dict[str, set[str]] = {}
    for (_text, user), row in zip(rows, made, strict=True):
        groups.setdefault(user, set()).add(row.group_key)
        assert row.split == split_of(seed=7, group_key=row.group_key)
    assert all(len(keys) == 1 for keys in groups.values())
    assert groups["somebody else"] == groups["user 0"]
    assert len(set.union(*groups.values())) == 20
    # A later file follows the group of its user, though its key was merged into another.
    earlier = tmp_path / "earlier.parquet"
    write_earlier(earlier, [lambda: pq.ParquetFile(tmp_path / "one" / "rows.parquet")], hashes=["abc"])
    later = json.dumps({"text": "A text of its own", "label": "x", "user": "somebody else"})
    staged(tmp_path / "two", later, mapping={**TWO, "group": "user"}, earlier=str(earlier))
    (row,) = from_parquet((tmp_path / "two" / "rows.parquet").read_bytes())
    assert {row.group_key} == groups["somebody else"]


CELL = st.one_of(
    st.sampled_from(["", " ", "one", "One ", "two words", "=1+1", "a\x00b", "“x”", "1", "1 Main Street, Springfield"]),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12),
)
RECORD = st.one_of(
    st.dictionaries(st.sampled_from(["text", "label", "user"]), CELL | st.integers() | st.none(), max_size=3).map(
        json.dumps
    ),
    st.tuples(CELL, CELL).map(lambda two: chat(("user", two[0]), ("assistant", two[1]))),
    st.sampled_from(
        ["[1]", "{", '{"text": "a", "label": "b"} x', "null", "[" * 50, '{"text": "\\ud800", "label": "x"}']
    ),
    CELL.filter(lambda cell: cell.strip() != "" and "\n" not in cell),
)


@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(RECORD, min_size=1, max_size=25), st.sampled_from([None, [], ["control"]]), st.booleans())
def test_every_row_is_accepted_or_left_out_with_a_reason(
    tmp_path: Path, records: list[str], fixes: list[str] | None, group: bool
) -> None:
    first = json.dumps({"text": "the first row", "label": "x", "user": "u"})
    content = "\n".join([first, *records]).encode("utf-8", "replace")
    found = staged(tmp_path, content, fixes=fixes, mapping={**TWO, "group": "user" if group else ""})
    assert found["refused"] is None
    rows = from_parquet((tmp_path / "rows.parquet").read_bytes())
    lines = [line for line in content.split(b"\n") if line.strip()]
    assert found["rows_read"] == len(lines)
    assert found["rows_read"] == found["accepted"] + sum(found["left_out"].values())
    assert len(rows) == found["accepted"] == sum(found["splits"].values())
    with (tmp_path / "problems.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert sum(row["done"] == "left out" for row in listed) == sum(found["left_out"].values())
    assert not any(cell[:1] in "=+-@\t\r" for row in listed for cell in row.values() if cell)
    for row in rows:
        for other in rows:
            if jaccard(shingles(row.input), shingles(other.input)) >= THRESHOLD:
                assert row.split == other.split


# --- the process


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(cell: str) -> None:
    assert formula_safe(cell) == f"'{cell}"
    assert formula_safe(f"x{cell}") == f"x{cell}"


def test_limits_of_size_and_rows_are_said(tmp_path: Path) -> None:
    content = table([(f"row {n}", "x") for n in range(30)])
    assert "more than 10 rows" in staged(tmp_path, content, limits={"max_rows": 10})["refused"]
    assert "at most" in inspected(tmp_path, content, limits={"max_bytes": 100})["refused"]
    assert (
        "has no column nothing"
        in staged(tmp_path, content, mapping={"input": "text", "expected": "nothing"})["refused"]
    )


def test_a_line_of_half_a_gigabyte_costs_no_memory_and_is_named(tmp_path: Path) -> None:
    file = tmp_path / "upload"
    with file.open("wb") as out:
        out.write(b'{"text": "a", "label": "b"}\n{"text": "')
        for _ in range(512):
            out.write(b"x" * 2**20)
        out.write(b'"}\n{"text": "c", "label": "d"}\n')
    limits = {"max_bytes": 2**31, "memory_mib": 1024, "cpu_seconds": 60, "max_line_bytes": 2**20}
    (tmp_path / "spec.json").write_text(json.dumps({"file": str(file), "mapping": TWO, "limits": limits}))
    command = [sys.executable, "-m", "apps.experiments.engine.intake", "stage", str(tmp_path)]
    assert subprocess.run(command, cwd=settings.BASE_DIR, check=False).returncode == 0
    file.unlink()
    found = json.loads((tmp_path / "result.json").read_bytes())
    assert (found["accepted"], found["left_out"], problem(found, "long_line")["line"]) == (2, {"line too long": 1}, 2)
