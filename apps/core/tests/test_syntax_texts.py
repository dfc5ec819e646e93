"""Every sentence is marked for translation where it is written: engines, commands, the terminal, health checks."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.core.tests.test_syntax import APPS, ROOT, files_of, label, tree_of

pytestmark = pytest.mark.syntax

MACHINERY = APPS / "core" / "engine" / "messages.py"
SOURCES = sorted(path for path in APPS.rglob("*.py") if "tests" not in path.parts and path != MACHINERY)
PLACEHOLDER = re.compile(r"%\((\w+)\)")


def called(node: ast.AST) -> str:
    """The name of what is called, without its module or object."""
    function = node.func if isinstance(node, ast.Call) else None
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def engine_sentences() -> frozenset[str]:
    """Classes that hold a sentence of an engine: `Sentence`, `EngineError` and every error below it."""
    bases = {
        node.name: {ast.unparse(base) for base in node.bases}
        for path in files_of("engine")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef)
    }
    known = {"Sentence", "EngineError"}
    while more := {name for name, of in bases.items() if of & known} - known:
        known |= more
    return frozenset(known)


SENTENCES = engine_sentences()


def templates_in(node: ast.AST) -> list[str]:
    """The literals that `gettext_noop` marks anywhere inside."""
    return [
        call.args[0].value
        for call in ast.walk(node)
        if called(call) == "gettext_noop" and isinstance(call, ast.Call)
        if isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    ]


def templates_by_name(tree: ast.AST) -> list[tuple[int, str, list[str]]]:
    """Assignments of marked literals: line, name, literals."""
    return [
        (node.lineno, name.id, templates)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        if (templates := templates_in(node.value))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    ]


def template_of(call: ast.Call, assigned: list[tuple[int, str, list[str]]]) -> list[str]:
    """What an error says: a marked literal, the latest one of a name, or the sentence of another error."""
    for argument in call.args:
        if templates := templates_in(argument):
            return templates
        names = {node.id for node in ast.walk(argument) if isinstance(node, ast.Name)}
        before = [templates for line, name, templates in assigned if name in names and line <= call.lineno]
        if before:
            return before[-1]
        if isinstance(argument, ast.Attribute) and argument.attr == "sentence":
            return [""]
    return []


def unmarked(tree: ast.AST) -> list[str]:
    """Sentences of engines that no catalogue can hold, or whose template names a value that is not given."""
    assigned = sorted(templates_by_name(tree))
    found = []
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or called(call) not in SENTENCES:
            continue
        templates = template_of(call, assigned)
        given = {keyword.arg for keyword in call.keywords} | ({"row"} if len(call.args) == 3 else set())
        missing = {name for template in templates for name in PLACEHOLDER.findall(template)} - given
        if not templates or (missing and None not in given):
            found.append(f"line {call.lineno}: {ast.unparse(call)}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_the_sentence_of_an_engine_is_marked_and_gets_every_value(path: Path) -> None:
    assert unmarked(tree_of(path)) == []


def test_sentences_that_cannot_be_translated_are_found() -> None:
    assert {"PromptError", "ChatError", "MessageError", "TrainingError", "ProviderError", "RateLimited"} <= SENTENCES
    source = [
        'ChatError("Empty.")',
        'PromptError(f"Line {n}.")',
        'TrainingError("spec", gettext_noop("%(name)s is wrong."))',
        'Sentence(gettext_noop("%(a)s"), a=1)',
        'TrainingError("rows", gettext_noop("%(row)s"), row_id)',
        "PromptError(error.sentence)",
    ]
    assert [line[5:6] for line in unmarked(ast.parse("\n".join(source)))] == ["1", "2", "3"]


# Where a program speaks to whoever sits at its terminal or asks for its health.
SPEAKING = [
    *files_of("management", "terminal"),
    APPS / "core" / "health.py",
    APPS / "core" / "processes" / "supervisor.py",
    APPS / "core" / "readiness.py",
    ROOT / "llmopt" / "edge" / "health.py",
]
MARKS = {"_", "gettext_lazy", "gettext_noop", "ngettext"}
PROSE = re.compile(r"[A-Za-z]{2,}[,;:]? [A-Za-z(]|^[A-Z][a-z]+$")
# Names that no language translates.
NAMES = {"Holm"}


def prose(tree: ast.AST) -> Iterator[str]:
    """Strings that read like language and do not pass through gettext; documentation and logs are left out."""
    silent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            silent.add(id(node.value))
        # A log is for operators, a RuntimeError for programmers.
        if called(node) in MARKS | {"RuntimeError"} or (
            isinstance(node, ast.Call) and "log." in ast.unparse(node.func)
        ):
            silent |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in silent:
            continue
        if PROSE.search(node.value) and node.value not in NAMES:
            yield f"line {node.lineno}: {node.value}"


@pytest.mark.parametrize("path", SPEAKING, ids=label)
def test_what_a_terminal_shows_passes_through_gettext(path: Path) -> None:
    assert list(prose(tree_of(path))) == []


def test_prose_outside_gettext_is_found() -> None:
    source = [
        'self.stdout.write(f"{n} hosts still running")',
        'table.add_column("Candidate")',
        'log.warning("supervisord did not end")',
        'print(_("Nothing to do."))',
        'console.print(text, style="bold", justify="left")',
    ]
    assert sorted(line[5:6] for line in prose(ast.parse("\n".join(source)))) == ["1", "2"]
