"""Every setting that the code reads from the environment stands in .env.example, and nothing else does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.syntax

ROOT = Path(__file__).resolve().parents[2]
# Set by the start for its own processes (docs/operations.md), by the set-up for pip, or by tests that kill a process.
NOBODY_SETS = {
    *("LLMOPT_RUN_ID", "LLMOPT_STARTED_AT", "LLMOPT_PARENT_PID", "LLMOPT_SUPERVISOR_SOCKET", "Q_CLUSTER_NAME"),
    *("LLMOPT_ASSET", "LLMOPT_FAULT", "LLMOPT_FAULT_DIR"),
}
# Of other programs.
OTHERS = {"PATH", "CI", "OMP_WAIT_POLICY"}


def sources() -> Iterator[Path]:
    for folder in ("apps", "llmopt", "scripts"):
        for path in (ROOT / folder).rglob("*.py"):
            if not {"tests", "migrations"} & set(path.parts):
                yield path


def names_in(source: str) -> set[str]:
    """Our own variables wherever they are named, and whatever else is read from the environment."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(re.findall(r"\ALLMOPT_[A-Z_]+\Z", node.value))
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            found |= constant(node.slice)
        elif isinstance(node, ast.Call) and re.fullmatch(
            r"env(\.[a-z]+)?|os\.environ\.(get|setdefault)", ast.unparse(node.func)
        ):
            found |= constant(*node.args[:1])
    return found


def constant(*nodes: ast.AST) -> set[str]:
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_what_is_read_is_found() -> None:
    source = (
        'A = "LLMOPT_A"\nB = env.int("B", default=1)\nC = os.environ.get("C")\nD = os.environ["D"]\n'
        'text = "see LLMOPT_E"\nF = other.get("F")\nG = os.environ[name]\n'
    )
    assert names_in(source) == {"LLMOPT_A", "B", "C", "D"}


def test_the_example_lists_what_is_read() -> None:
    read = set().union(*(names_in(path.read_text(encoding="utf-8")) for path in sources()))
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    listed = set(re.findall(r"^# ?([A-Z][A-Z0-9_]+)=", example, flags=re.MULTILINE))
    assert listed == read - NOBODY_SETS - OTHERS
