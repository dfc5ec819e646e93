"""A caller of the REST API that knows nothing but its OpenAPI document, and what an answer may not be."""

import json
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import requests

from apps.core.api.examples import FOLDER

# `RECORD_API_EXAMPLES=1 pytest …` writes what a caller sent and was answered as the document's examples.
RECORDS = bool(os.environ.get("RECORD_API_EXAMPLES"))
PUBLIC = "https://llmopt.example.org"
LONGEST_TEXT = 300
# Keys and tokens of a recording open nothing, and still no scanner should find them: their beginning is enough.
SECRETS = re.compile(r"(llmopt_[0-9A-Za-z]{8}_|eyJ[\w-]{10}|whsec_)[\w.+/=-]+…?")
METHODS = ("get", "post", "put", "patch", "delete")


class Api:
    """Calls operations by their names. An answer that the document does not describe is an error."""

    def __init__(self, address: str, http: requests.Session) -> None:
        self.address = address
        self.http = http
        self.document = http.get(f"{address}/api/v1/schema/?format=json", timeout=60).json()
        self.operations = {
            operation["operationId"]: (method, path, operation)
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
            if method in METHODS
        }
        self.called: set[str] = set()
        self.recorded: dict[str, dict[str, Any]] = defaultdict(dict)

    def do(self, name: str, body: Any = None, *, query: Any = None, files: Any = None, **place: Any) -> Any:
        """What the operation answers when it succeeds."""
        method, path, operation = self.operations[name]
        answer = self._send(name, body, query, files, place)
        status = next(code for code in operation["responses"] if code.startswith("2"))
        assert answer.status_code == int(status), f"{method} {path}: {answer.status_code} {answer.text}"
        self.called.add(name)
        content = operation["responses"][status].get("content")
        if content is None:
            assert not answer.content
            if body is not None:
                self.recorded[name] = {"request": body}
            return None
        media = answer.headers["Content-Type"].split(";")[0]
        shape = content[media]
        if media != "application/json":
            return answer.text
        value = answer.json()
        assert unlike(value, shape["schema"], self.document) == [], name
        self._record(name, body, value)
        return value

    def refused(self, name: str, status: int, body: Any = None, **place: Any) -> Any:
        """The problem that the operation answers with a status that the document names."""
        _method, _path, operation = self.operations[name]
        answer = self._send(name, body, None, None, place)
        assert answer.status_code == status, answer.text
        shape = operation["responses"][str(status)]["content"]["application/problem+json"]["schema"]
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = answer.json()
        assert unlike(problem, shape, self.document) == [], name
        assert problem["status"] == status
        return problem

    def pages(self, name: str, **place: Any) -> list[Any]:
        """Every row of a list, one row a page."""
        page = self.do(name, query={"limit": 1}, **place)
        found = page["results"]
        while page["next"]:
            page = self.http.get(page["next"], timeout=60).json()
            found += page["results"]
        return found

    def _send(self, name: str, body: Any, query: Any, files: Any, place: dict[str, Any]) -> requests.Response:
        method, path, operation = self.operations[name]
        named = set(re.findall(r"{(\w+)}", path))
        assert named == place.keys(), f"{path} takes {named}"
        assert ("requestBody" in operation) == (body is not None or files is not None), name
        sent = {"files": files} if files is not None else {"json": body} if method != "get" else {}
        return self.http.request(method, self.address + path.format(**place), params=query, timeout=60, **sent)

    def _record(self, name: str, body: Any, value: Any) -> None:
        if name not in self.recorded:
            self.recorded[name] = {**({"request": body} if body is not None else {}), "answer": value}

    def write_examples(self) -> None:
        """One file for each tag, with addresses, long lists and secrets as a reader needs them."""
        by_tag: dict[str, dict[str, Any]] = defaultdict(dict)
        for name, (_method, _path, operation) in self.operations.items():
            if name in self.recorded:
                by_tag[operation["tags"][0]][name] = self.recorded[name]
        for tag, found in by_tag.items():
            text = json.dumps(_short(found), ensure_ascii=False, indent=1)
            text = SECRETS.sub(r"\1…", text.replace(self.address, PUBLIC))
            Path(FOLDER, f"{tag}.json").write_text(text + "\n", encoding="utf-8")


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value[:2]]
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return value[: LONGEST_TEXT - 1] + "…"
    return value


def unlike(value: Any, shape: dict[str, Any], schema: dict[str, Any], at: str = "$") -> list[str]:
    """Where `value` is not what `shape` says: types, and names that are missing or not documented."""
    if value is None and shape.get("nullable"):
        return []
    if "$ref" in shape:
        shape = schema["components"]["schemas"][shape["$ref"].rpartition("/")[2]]
    if "allOf" in shape:
        return unlike(value, {**shape["allOf"][0], **{k: v for k, v in shape.items() if k != "allOf"}}, schema, at)
    if value is None:
        return [] if "type" not in shape else [f"{at} is null"]
    if shape.get("type") == "array":
        if not isinstance(value, list):
            return [f"{at} is no list"]
        return [w for n, item in enumerate(value) for w in unlike(item, shape["items"], schema, f"{at}[{n}]")]
    if "properties" in shape:
        if not isinstance(value, dict):
            return [f"{at} is no object"]
        names = shape["properties"]
        wrong = [f"{at}.{name} is not documented" for name in value.keys() - names.keys()]
        wrong += [f"{at}.{name} is missing" for name in set(shape.get("required", [])) - value.keys()]
        return wrong + [
            w for name in value.keys() & names.keys() for w in unlike(value[name], names[name], schema, f"{at}.{name}")
        ]
    kinds: dict[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict}
    kind = kinds.get(shape.get("type", ""))
    return [] if kind is None or isinstance(value, kind) else [f"{at} is no {shape['type']}"]
