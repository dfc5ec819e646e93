"""The small language of prompts: what a template may hold, which variables it names, and what it costs to render.

Jinja's own sandbox keeps attributes from Python; here a template is also kept from everything that could occupy a
machine before there is any output to measure. What is not listed is refused, with its line.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from apps.core.engine.messages import EngineError, Sentence, gettext_noop

MAX_RENDERED_CHARACTERS = 200_000
MAX_TEMPLATE_CHARACTERS = 100_000
# Beyond this, Python's compiler gives up on what Jinja writes for it, after many seconds.
MAX_DEPTH = 32
# Characters that all filters and comparisons of one template may read together: a second or two of work.
MAX_WORK = 20_000_000
# `trim` searches its argument once per character of its text.
MAX_TRIMMED = 64
MAX_NAME_CHARACTERS = 200
# Undefined names that are told one by one: looking for what was meant takes time for each, with many columns.
MOST_PROBLEMS = 20
# Most arguments of a filter, where it takes any.
_ARGUMENTS = {"trim": 1, "default": 2}
# A compiled template takes up to a hundred times its text: few of the long ones are kept.
_SHORT_CHARACTERS, _SHORT_KEPT, _LONG_KEPT = 10_000, 256, 8
_SHOWN_CHARACTERS = 200
# Filters whose result is about as long as what they are given.
_FILTERS = ("trim", "upper", "lower", "title", "capitalize", "length", "wordcount", "default")
# What a prompt may be made of. Attributes and items lead from a template to Python; calls, loops and arithmetic can
# occupy a machine without end before there is any output to measure.
_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Filter,
    nodes.If,
    nodes.CondExpr,
    nodes.Concat,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
)
_CONSTRUCTS = {
    "Getattr": Sentence(gettext_noop("an attribute")),
    "Getitem": Sentence(gettext_noop("an item")),
    "Call": Sentence(gettext_noop("a call")),
    "For": Sentence(gettext_noop("a loop")),
}
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
_ENVIRONMENT.globals.clear()
_ENVIRONMENT.filters = {name: _ENVIRONMENT.filters[name] for name in _FILTERS}


NO_TEXT = gettext_noop("The rendered prompt holds a character that is no text (NUL or half of a pair).")


class PromptError(EngineError, ValueError):
    """A template that cannot be read or rendered; the message says what is wrong with it."""


@dataclass(frozen=True)
class TemplateProblem:
    """What is wrong at a place of a template, both counted from 1; `name` is the undefined variable, if it is one."""

    line: int
    column: int
    sentence: Sentence
    name: str = ""

    def __str__(self) -> str:
        return str(self.sentence)


@dataclass(frozen=True)
class ReadTemplate:
    """A template that may be rendered: its variables with how often each is named, and what is done with them."""

    template: Template
    names: Counter[str]
    joins: bool
    operations: int

    def render(self, values: Mapping[str, str]) -> str:
        """The text, never longer than allowed: parts are measured as they come, and what cannot be, beforehand."""
        self._check_work(values)
        parts, length = [], 0
        for part in self.template.generate(**values):
            length += len(part)
            check_length(length)
            _check_text(part)
            parts.append(part)
        return "".join(parts)

    def _check_work(self, values: Mapping[str, str]) -> None:
        lengths = [len(values.get(name, "")) for name in self.names]
        longest = max(lengths, default=0)
        if self.joins:  # `~` builds its whole text before it can be measured
            longest = sum(length * count for length, count in zip(lengths, self.names.values(), strict=True))
            check_length(longest)
        if self.operations * longest > MAX_WORK:
            raise PromptError(
                gettext_noop("The filters and comparisons of the prompt would read more than %(most)s characters."),
                most=f"{MAX_WORK:,}",
            )


def check_length(length: int) -> None:
    if length > MAX_RENDERED_CHARACTERS:
        raise PromptError(
            gettext_noop("The rendered prompt has more than %(most)s characters."), most=f"{MAX_RENDERED_CHARACTERS:,}"
        )


def _check_text(part: str) -> None:
    """Half of a surrogate pair is no text, and nothing could send it; NUL is one that databases refuse."""
    try:
        part.encode()
    except UnicodeEncodeError:
        raise PromptError(NO_TEXT) from None
    if "\x00" in part:
        raise PromptError(NO_TEXT)


def variable_name(column: str) -> str:
    """How a prompt names a kept column: a character that no variable may hold becomes an underscore."""
    name = re.sub(r"\W", "_", column.strip())
    return f"_{name}" if name[:1].isdigit() else name


def variables_for(text: str, columns: Mapping[str, str]) -> dict[str, str]:
    """The values of one row by the names that a prompt uses. `input` is the row's input, whatever its columns say."""
    values: dict[str, str] = {}
    for column, value in columns.items():
        if variable_name(column) == column:
            values[column] = value
        else:  # a column that is called so itself comes first
            values.setdefault(variable_name(column), value)
    return {**values, **{name: columns[name] for name in values if name in columns}, "input": text}


def read_template(source: str) -> ReadTemplate:
    """The template, checked before any of it is evaluated. PromptError names the line and what is not allowed."""
    return (_read_short if len(source) <= _SHORT_CHARACTERS else _read_long)(source)


def _read(source: str) -> ReadTemplate:
    tree = _parse(source)
    found = list(tree.find_all(nodes.Node))
    operations = sum(isinstance(node, nodes.Filter | nodes.Compare) for node in found)
    try:
        template = _ENVIRONMENT.from_string(source)
    except TemplateSyntaxError as error:  # a filter that does not exist is found here
        raise _unreadable(error) from error
    except (RecursionError, SyntaxError) as error:  # thousands of branches: Python's compiler gives up
        raise PromptError(gettext_noop("The prompt cannot be read: it is nested too deeply.")) from error
    names = Counter(node.name for node in found if isinstance(node, nodes.Name))
    return ReadTemplate(template, names, any(isinstance(node, nodes.Concat) for node in found), operations)


_read_short = lru_cache(maxsize=_SHORT_KEPT)(_read)
_read_long = lru_cache(maxsize=_LONG_KEPT)(_read)


def variables_in(source: str) -> set[str]:
    """Names that the template reads. PromptError when it cannot be read."""
    return set(read_template(source).names)


def check_template(source: str, known: Collection[str]) -> list[TemplateProblem]:
    """What keeps `source` from being rendered with the variables `known`, in the order of the text.

    Of undefined names the first twenty places are told.
    """
    try:
        names = variables_in(source)
    except PromptError as error:
        line = _line_of(error)
        return [TemplateProblem(line, _column_of(source, line), error.sentence)]
    unknown = names - set(known)
    if not unknown:
        return []
    places = islice(_places(source, unknown), MOST_PROBLEMS)
    return [_undefined(name, line, column, known) for name, line, column in places]


def _undefined(name: str, line: int, column: int, known: Collection[str]) -> TemplateProblem:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    if near:
        sentence = Sentence(
            gettext_noop("Line %(line)s, column %(column)s: '%(name)s' is undefined. Did you mean '%(near)s'?"),
            line=line,
            column=column,
            name=name,
            near=near[0],
        )
    else:
        sentence = Sentence(
            gettext_noop("Line %(line)s, column %(column)s: '%(name)s' is undefined. Defined here: %(known)s."),
            line=line,
            column=column,
            name=name,
            known=", ".join(sorted(known)),
        )
    return TemplateProblem(line, column, sentence, name=name)


def _parse(source: str) -> nodes.Template:
    if len(source) > MAX_TEMPLATE_CHARACTERS:
        raise PromptError(
            gettext_noop("The prompt has %(count)s characters; %(most)s are allowed."),
            count=f"{len(source):,}",
            most=f"{MAX_TEMPLATE_CHARACTERS:,}",
        )
    try:
        tree = _ENVIRONMENT.parse(source)
    except TemplateSyntaxError as error:
        raise _unreadable(error) from error
    except RecursionError as error:
        raise PromptError(gettext_noop("The prompt cannot be read: it is nested too deeply.")) from error
    except ValueError as error:  # a number with thousands of digits
        raise PromptError(gettext_noop("The prompt cannot be read: %(error)s"), error=error) from error
    _check_depth(tree)
    line = 1
    for node in tree.find_all(nodes.Node):
        line = node.lineno or line  # a few constructs carry no line: the one before them is near
        _check_node(node, line)
    return tree


def _check_depth(tree: nodes.Template) -> None:
    level: list[nodes.Node] = [tree]
    for _depth in range(MAX_DEPTH + 1):
        level = [child for node in level for child in node.iter_child_nodes()]
        if not level:
            return
    raise PromptError(gettext_noop("The prompt cannot be read: it is nested too deeply."))


def _unreadable(error: TemplateSyntaxError) -> PromptError:
    return PromptError(
        gettext_noop("The prompt cannot be read: line %(line)s: %(error)s"),
        line=error.lineno,
        error=(error.message or type(error).__name__)[:_SHOWN_CHARACTERS],
    )


def _check_node(node: nodes.Node, line: int) -> None:
    if not isinstance(node, _ALLOWED):
        raise PromptError(
            gettext_noop("Line %(line)s of the prompt: %(construct)s is not allowed in a prompt."),
            line=line,
            construct=_name_of(node),
        )
    if isinstance(node, nodes.Name) and node.name == "self":  # the engine's own name for the template
        raise PromptError(gettext_noop("Line %(line)s of the prompt: 'self' is undefined."), line=line)
    if isinstance(node, nodes.Name) and len(node.name) > MAX_NAME_CHARACTERS:
        raise PromptError(
            gettext_noop("Line %(line)s of the prompt: a name has at most %(most)s characters."),
            line=line,
            most=MAX_NAME_CHARACTERS,
        )
    if isinstance(node, nodes.Filter):
        _check_filter(node, line)


def _check_filter(node: nodes.Filter, line: int) -> None:
    given = [*node.args, *(pair.value for pair in node.kwargs)]
    most = _ARGUMENTS.get(node.name, 0)
    if node.name in _FILTERS and (len(given) > most or node.dyn_args or node.dyn_kwargs):
        raise PromptError(
            gettext_noop("Line %(line)s of the prompt: the filter %(name)s takes at most %(most)s arguments.")
            if most
            else gettext_noop("Line %(line)s of the prompt: the filter %(name)s takes no arguments."),
            line=line,
            name=node.name,
            most=most,
        )
    written_out = all(isinstance(value, nodes.Const) and len(str(value.value)) <= MAX_TRIMMED for value in given)
    if node.name == "trim" and not written_out:
        raise PromptError(
            gettext_noop("Line %(line)s of the prompt: trim takes at most %(most)s characters, written out."),
            line=line,
            most=MAX_TRIMMED,
        )


def _name_of(node: nodes.Node) -> Sentence:
    """What a construct is called in a sentence."""
    kind = type(node).__name__
    return _CONSTRUCTS.get(kind) or Sentence(gettext_noop("the construct %(kind)s"), kind=kind)


def _line_of(error: PromptError) -> int:
    line = error.sentence.params.get("line", 1)
    return line if isinstance(line, int) else 1


def _column_of(source: str, line: int) -> int:
    """Where the first expression or statement of a line begins: nothing closer is known of what is not allowed."""
    lines = source.splitlines()
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    found = re.search(r"{{|{%|{#", text)
    return found.start() + 1 if found else 1


def _places(source: str, wanted: Collection[str]) -> Iterator[tuple[str, int, int]]:
    """(name, line, column) wherever the template reads one of the names `wanted`."""
    position, before = 0, ""
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    for line, kind, value in _tokens(source):
        position = source.index(value, position)
        if kind == "name" and value in wanted and before != "|":
            yield value, line, position - source.rfind("\n", 0, position)
        position += len(value)
        if kind != "whitespace":
            before = value


def _tokens(source: str) -> Iterable[tuple[int, str, str]]:
    return _ENVIRONMENT.lex(source)
