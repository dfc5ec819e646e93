"""What the columns of an inspected file mean: the suggestion, a person's choice, and the first rows read by it."""

from collections.abc import Mapping
from typing import Any

EXAMPLES = 5


def columns_of(inspection: Mapping[str, Any]) -> list[str]:
    return [str(name) for name in inspection.get("columns", [])]


def is_chat(inspection: Mapping[str, Any]) -> bool:
    """Whether the rows were recognised as conversations: their messages say what is asked and what is answered."""
    return inspection.get("shape") == "chat"


def suggested(inspection: Mapping[str, Any]) -> dict[str, Any]:
    """Initial values of the form that maps columns."""
    mapping = inspection.get("suggested", {})
    answer = mapping.get("answer") or {"format": "text"}
    return {
        "input": mapping.get("input", ""),
        "expected": mapping.get("expected", ""),
        "group": mapping.get("group", ""),
        "keep": list(mapping.get("keep", [])),
        "format": answer["format"],
        "labels": "\n".join(answer.get("labels", [])),
        "keys": "\n".join(answer.get("fields", [])),
        "tolerance": answer.get("tolerance", 0.0),
    }


def examples(inspection: Mapping[str, Any], chosen: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The first rows as a model will see them when columns mean what is chosen."""
    head = inspection.get("head", [])
    if is_chat(inspection) or not head:
        return list(inspection.get("examples", []))[:EXAMPLES]
    return [
        {
            "input": row.get(chosen.get("input", ""), ""),
            "expected": row.get(chosen.get("expected", ""), ""),
            "columns": {name: row.get(name, "") for name in chosen.get("keep", [])},
        }
        for row in head[:EXAMPLES]
    ]


def lines_of(text: str) -> list[str]:
    """Non-empty lines, each once, in their order."""
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def as_mapping(inspection: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping that an import keeps."""
    if is_chat(inspection):
        keep = list(inspection.get("suggested", {}).get("keep", []))
        return {"shape": "chat", "input": "", "expected": "", "group": chosen.get("group", ""), "keep": keep}
    named = {chosen["input"], chosen["expected"]}
    return {
        "shape": "columns",
        "input": chosen["input"],
        "expected": chosen["expected"],
        "group": chosen.get("group", ""),
        "keep": [name for name in chosen.get("keep", []) if name not in named],
    }


def as_answer(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer is, as a dataset version keeps it. Without labels or keys they are taken from the file."""
    match chosen["format"]:
        case "label":
            return {"format": "label", "labels": lines_of(chosen.get("labels", ""))}
        case "json":
            return {"format": "json", "fields": lines_of(chosen.get("keys", ""))}
        case "number":
            return {"format": "number", "tolerance": float(chosen.get("tolerance") or 0.0)}
    return {"format": "text"}
