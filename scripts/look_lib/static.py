"""What can be seen in the templates without a browser: pages are made of components and layout classes only."""

import itertools
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "templates"
LAYOUT_CLASSES = ROOT / "static" / "src" / "layout-classes.css"
# The operators' site has a theme of its own; components are where controls are written.
EXEMPT = ("cotton", "admin", "unfold")

COMMENT = re.compile(r"\{%\s*comment.*?endcomment\s*%\}|\{#.*?#\}|<!--.*?-->", re.DOTALL)
TEMPLATE_CODE = re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
RAW_TAG = re.compile(r"<(button|table|input|select|textarea|dialog|progress|style)\b")
STYLE_ATTRIBUTE = re.compile(r"""\sstyle\s*=\s*["']""")
HANDLER_ATTRIBUTE = re.compile(r"""\son[a-z]+\s*=\s*["']""")
SCRIPT = re.compile(r"<script\b([^>]*)>")
CLASS = re.compile(r"""\bclass\s*=\s*(?:"([^"]*)"|'([^']*)')""")
BOUND_FILTER = re.compile(r"""\s(:[a-z][\w-]*)=(?:"[^"{]*\|[^"]*"|'[^'{]*\|[^']*')""")
SOURCE = re.compile(r'@source inline\("([^"]+)"\);')


def page_templates() -> list[Path]:
    """Every template that is not part of the kit."""
    return sorted(path for path in TEMPLATES.rglob("*.html") if path.relative_to(TEMPLATES).parts[0] not in EXEMPT)


@cache
def layout_classes() -> frozenset[str]:
    """The classes that pages may use, from the patterns that the stylesheet compiles in."""
    patterns = SOURCE.findall(LAYOUT_CLASSES.read_text(encoding="utf-8"))
    return frozenset(itertools.chain.from_iterable(expand(pattern) for pattern in patterns))


def expand(pattern: str) -> list[str]:
    """Brace expansion: ``a-{b,c}`` gives ``a-b`` and ``a-c``."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    choices = match.group(1).split(",")
    return [each for choice in choices for each in expand(pattern[: match.start()] + choice + pattern[match.end() :])]


def template_problems(path: Path) -> list[str]:
    """What a page template does that only a component may, each with its line."""
    text = path.read_text(encoding="utf-8")
    source = COMMENT.sub(_keep_lines, text)
    name = path.relative_to(TEMPLATES).as_posix()
    found: list[str] = []

    def add(position: int, problem: str) -> None:
        found.append(f"templates/{name}:{source.count(chr(10), 0, position) + 1}: {problem}")

    for match in RAW_TAG.finditer(source):
        add(match.start(), f"raw <{match.group(1)}>: use the component")
    for match in STYLE_ATTRIBUTE.finditer(source):
        add(match.start(), "inline style")
    for match in HANDLER_ATTRIBUTE.finditer(source):
        add(match.start(), "inline event handler")
    for match in BOUND_FILTER.finditer(source):
        add(match.start(1), f"filter in {match.group(1)}: a bound attribute takes a name only, use {{% with %}}")
    for match in SCRIPT.finditer(source):
        if "nonce=" not in match.group(1) and "application/json" not in match.group(1):
            add(match.start(), "script without a nonce")
    for match in CLASS.finditer(source):
        for name_of_class in TEMPLATE_CODE.sub(" ", match.group(1) or match.group(2) or "").split():
            if name_of_class not in layout_classes():
                add(match.start(), f"class `{name_of_class}` is not a layout class")
    return found


def _keep_lines(match: re.Match[str]) -> str:
    return "\n" * match.group(0).count("\n")


def problems() -> list[str]:
    """Every problem of every page template; base.html may name the classes of the frame."""
    found = []
    for path in page_templates():
        own = template_problems(path)
        if path.name == "base.html":
            own = [problem for problem in own if "is not a layout class" not in problem]
        found += own
    return found
