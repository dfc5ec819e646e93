"""Rendering a model's chat template, which a stranger may have written, within bounds of time, memory and output.

A plain template (one loop over the messages, and texts joined in it) cannot do more work than the conversation has
words, and is rendered where it is asked for. Whatever else a template is made of can occupy a machine without end, in
one loop or in one multiplication, so it is compiled and rendered in a process of its own, which ends with the first
rendering that goes past its bounds. This file is also that process: it needs nothing but jinja2, and gets no secret.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from jinja2 import Environment, Template, nodes

MAX_TEMPLATE_CHARACTERS = 100_000
#: Beside the conversation's own length: tools and instructions that templates bring along take some thousands.
MAX_ADDED_CHARACTERS = 1_000_000
CPU_SECONDS = 1.0
#: Each may be a text as long as the conversation, and what is joined of them is measured only when it is there.
MAX_PLAIN_NAMES = 60
#: For a process that waits for a processor; only the seconds that it computes say anything of the template.
WALL_SECONDS = 60.0
MEMORY_BYTES = 512 * 1024**2


class TemplateRefused(Exception):
    """A template that cannot be read, or that refuses what it was given.

    `bound`: which one it went past, `length`, `time`, `memory` or `output`; empty where it said no itself.
    """

    def __init__(self, said: str, *, bound: str = "") -> None:
        super().__init__(said)
        self.bound = bound


class ChatTemplate:
    """One template, ready to render. Safe to share between threads."""

    def __init__(self, source: str) -> None:
        """TemplateRefused when it cannot be read. Nothing of it is evaluated here unless it is plain."""
        environment, tree = _parse(source)
        self._here: Template | None = environment.from_string(source) if _is_plain(tree) else None
        self._process = None if self._here is not None else TemplateProcess(source)

    @property
    def confined(self) -> bool:
        """Whether it is rendered in a process of its own."""
        return self._process is not None

    def render(self, values: dict[str, Any]) -> str:
        """The text for `values`, which JSON can hold. TemplateRefused when there is none."""
        if self._process is not None:
            return self._process.render(values)
        assert self._here is not None
        return _render(self._here, values)


class TemplateProcess:
    """The process that renders one template: started when first needed, and again after one that had to be ended."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None
        self._end: Any = None

    def render(self, values: dict[str, Any]) -> str:
        """As ChatTemplate.render."""
        with self._lock:
            answer = self._ask(json.dumps(values).encode() + b"\n")
            if answer is None:
                self._end()
                raise TemplateRefused("its process was ended", bound="time")
        if "text" in answer:
            return str(answer["text"])
        raise TemplateRefused(answer["refused"], bound=answer["bound"])

    def _ask(self, line: bytes) -> dict[str, Any] | None:
        """What the process says; None when it ended, or was too slow, before it said anything."""
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except OSError:
            return None
        said = _line_of(process)
        answer: dict[str, Any] | None = json.loads(said) if said else None
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._running is None or self._running.poll() is not None:
            process = subprocess.Popen(
                [sys.executable, "-I", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={},
            )
            assert process.stdin is not None
            process.stdin.write(json.dumps(self._source).encode() + b"\n")  # sent with the first question
            self._running, self._end = process, weakref.finalize(self, _end, process)
        return self._running


def _line_of(process: subprocess.Popen[bytes]) -> bytes:
    """The next line that the process writes; empty when it ends, or takes too long, before the line is whole."""
    assert process.stdout is not None
    stdout, deadline = process.stdout.fileno(), time.monotonic() + WALL_SECONDS
    parts: list[bytes] = []
    while not (parts and parts[-1].endswith(b"\n")):
        ready, _, _ = select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(stdout, 65536) if ready else b""
        if not part:
            return b""
        parts.append(part)
    return b"".join(parts)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            # What was not yet sent has nobody to go to.
            with suppress(OSError):
                stream.close()


def _parse(source: str) -> tuple[Environment, nodes.Template]:
    """Parsing alone evaluates nothing; compiling would compute what is constant in the template."""
    from jinja2 import TemplateSyntaxError

    if len(source) > MAX_TEMPLATE_CHARACTERS:
        raise TemplateRefused("it is too long", bound="length")
    environment = _environment()
    try:
        return environment, environment.parse(source)
    except (TemplateSyntaxError, RecursionError, ValueError) as error:
        raise TemplateRefused(f"{error}" or type(error).__name__) from error


def _environment() -> Environment:
    from jinja2 import TemplateError, ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> NoReturn:
        raise TemplateError(message)

    def to_json(value: object, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)

    # As transformers compiles templates, but without the clock: a prompt must not change from training to serving.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[ext.loopcontrols])
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    return environment


def _is_plain(tree: nodes.Template) -> bool:
    """Whether the work that the template makes grows no faster than the conversation: no loop in a loop, nothing kept
    from one turn to the next, and of all that Python can do only joining and comparing texts."""
    from jinja2 import nodes

    allowed = (
        nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.CondExpr,
        nodes.Add, nodes.Concat, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
    )  # fmt: skip

    def plain(node: nodes.Node, *, in_loop: bool) -> bool:
        if isinstance(node, nodes.For):
            known = isinstance(node.iter, nodes.Name) and node.iter.name == "messages" and not node.recursive
            return known and not in_loop and all(plain(child, in_loop=True) for child in (*node.body, *node.else_))
        if isinstance(node, nodes.Getitem | nodes.Getattr):
            key = node.arg if isinstance(node, nodes.Getitem) else nodes.Const(node.attr)
            return isinstance(key, nodes.Const) and plain(node.node, in_loop=in_loop)
        if isinstance(node, nodes.Filter):
            trims = node.name == "trim" and not (node.args or node.kwargs or node.dyn_args or node.dyn_kwargs)
            return trims and node.node is not None and plain(node.node, in_loop=in_loop)
        if isinstance(node, nodes.Call):
            # raise_exception('…') is how a template refuses a conversation.
            says = isinstance(node.node, nodes.Name) and node.node.name == "raise_exception" and len(node.args) == 1
            bare = not (node.kwargs or node.dyn_args or node.dyn_kwargs)
            return says and bare and isinstance(node.args[0], nodes.Const)
        return isinstance(node, allowed) and all(plain(child, in_loop=in_loop) for child in node.iter_child_nodes())

    return sum(1 for _name in tree.find_all(nodes.Name)) <= MAX_PLAIN_NAMES and plain(tree, in_loop=False)


def _render(template: Template, values: dict[str, Any]) -> str:
    most = MAX_ADDED_CHARACTERS + 4 * sum(len(message["content"]) for message in values["messages"])
    parts, length = [], 0
    try:
        for part in template.generate(**values):
            length += len(part)
            if length > most:
                raise TemplateRefused("it writes too much", bound="output")
            parts.append(part)
    except TemplateRefused:
        raise
    except MemoryError as error:
        raise TemplateRefused("it takes too much memory", bound="memory") from error
    except Exception as error:  # a template is a program: whatever it raises is its own refusal
        raise TemplateRefused((str(error) or type(error).__name__)[:300]) from error
    return "".join(parts)


def _limit() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def serve(asked: IO[bytes], said: IO[bytes]) -> None:
    """The process: a template in the first line, then values in one line each, answered in one line each."""
    import signal

    _limit()
    source, template = json.loads(asked.readline()), None
    for line in asked:
        # Its signal ends the process, in the middle of whatever it computes. Compiling counts: it computes constants.
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
        try:
            template = template or _environment().from_string(source)
            answer: dict[str, Any] = {"text": _render(template, json.loads(line))}
        except TemplateRefused as refused:
            answer = {"refused": str(refused), "bound": refused.bound}
        except MemoryError:
            answer = {"refused": "it takes too much memory", "bound": "memory"}
        except Exception as error:
            answer = {"refused": (str(error) or type(error).__name__)[:300], "bound": ""}
        said.write(json.dumps(answer).encode() + b"\n")
        said.flush()
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
