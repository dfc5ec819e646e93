"""Which columns are input, answer and group, told from their names and contents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apps.experiments.engine.intake.checking import SYSTEM, text_of
from apps.experiments.engine.intake.spec import Mapping

_INPUTS = (
    "input", "prompt", "question", "query", "text", "instruction", "source", "sentence", "content", "document",
    "review", "message", "comment", "body", "title", "utterance", "context", "address", "name",
)  # fmt: skip
_ANSWERS = (
    "expected", "expected_output", "output", "answer", "completion", "response", "target", "label", "category", "class",
    "intent", "sentiment", "topic", "summary", "translation", "reference", "result", "score", "rating", "value",
)  # fmt: skip
_GROUPS = (
    "group", "group_id", "group_key", "user_id", "customer_id", "author_id", "document_id", "doc_id", "session_id",
    "conversation_id", "thread_id", "patient_id", "family",
)  # fmt: skip


def suggested_mapping(records: Sequence[dict[str, Any]], columns: Sequence[str]) -> Mapping:
    """Chat where most records hold messages; else the columns whose names say it, or whose contents come nearest."""
    chats = sum(type(record.get("messages")) is list for record in records)
    if records and chats * 2 > len(records):
        with_system = any(_has_system(record["messages"]) for record in records if type(record.get("messages")) is list)
        return Mapping(shape="chat", keep=(SYSTEM,) if with_system else ())
    answer = _named(columns, _ANSWERS, taken=())
    # What is the same in every row asks nothing. An answer may be: rows are often sorted by it.
    same = [name for name in columns if _is_constant(records, name)]
    text = _named(columns, _INPUTS, taken=(answer, *same))
    rest = [name for name in columns if name not in (answer, text) and not _looks_like_id(name)]
    rest = [name for name in rest if name not in same] or rest
    if not text:
        text = max(rest, key=lambda name: _mean_length(records, name), default="")
        rest = [name for name in rest if name != text]
    if not answer:
        # Answers are mostly the last column; a few words that come again and again are one wherever they stand.
        answer = next((name for name in reversed(rest) if _repeats_words(records, name)), rest[-1] if rest else "")
    group = _named(columns, _GROUPS, taken=(answer, text))
    return Mapping(input=text, expected=answer, group=group)


def _has_system(messages: list[Any]) -> bool:
    first = messages[0] if messages else None
    return type(first) is dict and first.get("role") in (SYSTEM, "developer")


def _named(columns: Sequence[str], known: tuple[str, ...], *, taken: tuple[str, ...]) -> str:
    """The column that has a known name, or has one as its first or last word; the earlier known name wins."""
    folded = {
        name: name.strip().casefold().replace(" ", "_").replace("-", "_") for name in columns if name not in taken
    }
    for word in known:
        for name, plain in folded.items():
            if plain == word:
                return name
    for word in known:
        for name, plain in folded.items():
            parts = plain.split("_")
            if word in (parts[0], parts[-1]) and not _looks_like_id(name):
                return name
    return ""


def _looks_like_id(name: str) -> bool:
    plain = name.strip().casefold()
    return plain in ("id", "uid", "uuid", "index", "#", "row", "split") or plain.endswith(("_id", " id", "-id"))


def _is_constant(records: Sequence[dict[str, Any]], name: str) -> bool:
    return len(records) > 1 and len({text_of(record.get(name)) for record in records}) == 1


def _repeats_words(records: Sequence[dict[str, Any]], name: str) -> bool:
    """Whether each value comes at least four times on average, and none is a number."""
    values = [text_of(record.get(name)).strip() for record in records]
    different = {value for value in values if value}
    return 2 <= len(different) <= len(values) / 4 and not any(value[-1].isdigit() for value in different)


def _mean_length(records: Sequence[dict[str, Any]], name: str) -> float:
    return sum(len(text_of(record.get(name))) for record in records) / max(1, len(records))
