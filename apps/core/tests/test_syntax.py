"""Rules of the source that no linter knows: who names the database, how a service is called, what a template holds."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.utils.module_loading import import_string

from apps.core import jobs

pytestmark = pytest.mark.syntax

ROOT = Path(settings.BASE_DIR)
APPS = ROOT / "apps"
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
PAGES = [path for path in TEMPLATES if "cotton" not in path.parts]

# Public functions beside services that are none, each with its reason.
NO_SERVICE = {
    "apps/accounts/services/keys.py:api_key_use_known": "asks whether a use was written; changes nothing",
    "apps/accounts/services/keys.py:api_key_uses_forget": "housekeeping deletes what is of no use",
    "apps/accounts/services/people.py:sign_in_links_forget": "housekeeping deletes what is of no use",
    "apps/accounts/services/tokens.py:token_families_forget": "housekeeping deletes what is of no use",
    "apps/billing/services.py:cache_expire": "housekeeping deletes what is of no use",
    "apps/billing/services.py:reservations_sweep": "housekeeping closes what dead processes held; nobody asks for it",
    "apps/evaluation/services/leaderboards.py:ended_count": "reads a number that the refresh compares",
    "apps/evaluation/services/leaderboards.py:leaderboard_is_behind": "reads whether a refresh is due",
    "apps/evaluation/services/leaderboards.py:without_outputs": "computes a value from a document",
    "apps/experiments/services/datasets.py:name_free": "asks whether a name can be taken; changes nothing",
    "apps/experiments/services/experiments.py:definition_check": "refuses a definition that no experiment can have",
    "apps/experiments/services/experiments.py:locked": "takes the lock that a service's change needs",
    "apps/experiments/services/experiments.py:registration_hash": "computes a hash from a definition",
    "apps/training/services/registry.py:run_lineage": "computes the facts that registration freezes",
    "apps/training/services/runs.py:run_plan": "computes the facts that decide a model's weights",
}
# Templates whose letters no reader sees, each with its reason.
NO_WORDS = {
    "templates/cotton/_field_attrs.html": "holds attributes of a control, outside any element",
}


def files_of(*rooms: str) -> list[Path]:
    """Source files of every app's `<room>.py` or `<room>/`, tests left out."""
    found = []
    for app in sorted(APPS.iterdir()):
        for room in rooms:
            found.extend([app / f"{room}.py"] if (app / f"{room}.py").exists() else sorted((app / room).rglob("*.py")))
    return [path for path in found if "tests" not in path.parts]


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def names_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.Name):
            yield node.id, node.lineno
        elif isinstance(node, ast.ImportFrom | ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


FORBIDDEN_IN_PAGES = {"objects", "_default_manager", "_base_manager", "get_object_or_404", "get_list_or_404", "raw"}


@pytest.mark.parametrize("path", files_of("views", "forms", "api"), ids=label)
def test_pages_forms_and_the_api_do_not_name_the_database(path: Path) -> None:
    found = [f"{name} in line {line}" for name, line in names_in(tree_of(path)) if name in FORBIDDEN_IN_PAGES]

    assert found == []


@pytest.mark.parametrize("path", files_of("forms", "api"), ids=label)
def test_forms_and_serializers_have_no_queryset_of_their_own(path: Path) -> None:
    tree = tree_of(path)
    keywords = [node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)]
    attributes = [
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]

    assert "queryset" not in keywords + attributes


def public_functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    functions = (node for node in tree_of(path).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [function for function in functions if not function.name.startswith("_")]


@pytest.mark.parametrize("path", files_of("services"), ids=label)
def test_services_are_keyword_only_and_name_their_actor(path: Path) -> None:
    wrong = []
    for function in public_functions(path):
        arguments = function.args
        keywords = {argument.arg for argument in arguments.kwonlyargs}
        name = f"{label(path)}:{function.name}"
        if name in NO_SERVICE:
            continue
        if arguments.args or arguments.posonlyargs or arguments.vararg:
            wrong.append(f"{name} takes arguments by position")
        if "actor" not in keywords:
            wrong.append(f"{name} has no actor")

    assert wrong == []


def test_no_exemption_outlives_what_it_excuses() -> None:
    functions = {
        f"{label(path)}:{function.name}" for path in files_of("services") for function in public_functions(path)
    }

    assert set(NO_SERVICE) <= functions
    assert all((ROOT / path).exists() for path in NO_WORDS)


# Pure Python too: the named places at which a test may kill a process.
BESIDE_ENGINES = {"apps.core.faults"}


@pytest.mark.parametrize("path", files_of("engine"), ids=label)
def test_an_engine_imports_no_django_and_no_room_above_it(path: Path) -> None:
    found = []
    for node in ast.walk(tree_of(path)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        found.extend(
            module
            for module in modules
            if module.split(".")[0] in {"django", "rest_framework", "django_q", "llmopt"}
            or (module.startswith("apps.") and ".engine" not in module and module not in BESIDE_ENGINES)
        )

    assert found == []


# A client that is made of one is itself imported with the first call to its provider.
SDKS = {"openai", "anthropic", "httpx2"}
HEAVY = {"torch", "transformers", "ctranslate2", "peft", "langchain", "langchain_core"}
# A module that is made of such a library, and is itself imported inside the function that needs it.
MADE_OF_THEM = {"apps/billing/langchain_chat.py": "subclasses LangChain's chat model"}


@pytest.mark.parametrize(
    "path",
    sorted(p for p in APPS.rglob("*.py") if "tests" not in p.parts and label(p) not in MADE_OF_THEM),
    ids=label,
)
def test_heavy_libraries_are_imported_inside_the_function_that_needs_them(path: Path) -> None:
    at_the_top = []
    for node in tree_of(path).body:
        if isinstance(node, ast.Import):
            at_the_top += [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            at_the_top.append((node.module or "").split(".")[0])

    assert HEAVY.isdisjoint(at_the_top)


def test_the_web_process_loads_no_heavy_library() -> None:
    # Resolving an address imports every view.
    program = (
        "import sys, llmopt.asgi\n"
        "from django.urls import resolve\n"
        "resolve('/account/')\n"
        f"print(sorted(set({sorted(HEAVY | SDKS)!r}) & sys.modules.keys()))"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "llmopt.settings.test", "LLMOPT_ROLE": "web"}

    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )

    assert answer.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("kind", jobs.kinds(), ids=lambda kind: kind.model)
def test_the_task_of_a_job_kind_exists(kind: jobs.JobKind) -> None:
    assert callable(import_string(kind.task))
    assert kind.model_class._meta.label_lower == kind.model.lower()


def test_every_job_model_is_registered_as_a_kind() -> None:
    from django.apps import apps

    from apps.core.models import JobModel

    models = {model._meta.label_lower for model in apps.get_models() if issubclass(model, JobModel)}

    assert models == {kind.model.lower() for kind in jobs.kinds()}


DOTTED_TASK = re.compile(r"""["'](apps\.[a-z_]+\.tasks\.[a-z_]+)["']""")


def test_every_dotted_task_name_in_the_source_resolves() -> None:
    named = {
        name
        for path in APPS.rglob("*.py")
        if "tests" not in path.parts
        for name in DOTTED_TASK.findall(path.read_text(encoding="utf-8"))
    }

    assert named
    assert all(callable(import_string(name)) for name in named)


INLINE = re.compile(
    r"\sstyle=|\son[a-z]+=|<style\b|javascript:|<script(?![^>]*\bsrc=)(?![^>]*application/json)", re.IGNORECASE
)


@pytest.mark.parametrize("path", TEMPLATES, ids=label)
def test_a_template_has_no_inline_style_or_script(path: Path) -> None:
    assert INLINE.findall(path.read_text(encoding="utf-8")) == []


COMMENT = re.compile(r"{#.*?#}|{% comment.*?{% endcomment %}", re.DOTALL)
TAGS = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)
TRANSLATED_BLOCK = re.compile(r"{% blocktranslate.*?{% endblocktranslate %}", re.DOTALL)
# Attributes whose value a reader sees or hears.
SPOKEN = re.compile(
    r"(?<![:\w-])(?:title|label|caption|text|subtitle|alt|placeholder|aria-label|help|confirm|empty|submit|hint|todo|kept)=\"([^\"]*)\""
)
# What a component's attributes are when a page gives none.
DEFAULTS = re.compile(r"<c-vars.*?/>", re.DOTALL)
ELEMENT = re.compile(r"<[^>]*>", re.DOTALL)
LETTERS = re.compile(r"[A-Za-z]{2,}")
# Names that no language translates.
NAMES = {"LLMOpt", "make", "login", "doctype", "html"}


def visible_words(source: str) -> list[str]:
    """Words of a template that would reach a reader without passing through gettext."""
    source = TRANSLATED_BLOCK.sub("", DEFAULTS.sub("", COMMENT.sub("", source)))
    spoken = " ".join(SPOKEN.findall(TAGS.sub("", source)))
    # A tag may hold ">" in a template expression, so expressions go first.
    text = re.sub(r"&[a-z]+;", "", ELEMENT.sub(" ", TAGS.sub("", source)))
    return [word for word in LETTERS.findall(f"{spoken} {text}") if word not in NAMES]


@pytest.mark.parametrize(
    "path", [path for path in TEMPLATES if "styleguide" not in path.parts and label(path) not in NO_WORDS], ids=label
)
def test_every_visible_word_of_a_template_passes_through_gettext(path: Path) -> None:
    assert visible_words(path.read_text(encoding="utf-8")) == []


RAW_CONTROL = re.compile(r"<(?:button|table|input|select|dialog|progress|textarea)\b")


@pytest.mark.parametrize("path", [path for path in PAGES if path.name != "base.html"], ids=label)
def test_a_page_is_made_of_components(path: Path) -> None:
    assert RAW_CONTROL.findall(path.read_text(encoding="utf-8")) == []
