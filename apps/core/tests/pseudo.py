"""A language that nobody speaks: translated texts are accented and stand in ⟦brackets⟧, so that any other shows."""

import contextlib
import gettext
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

from django.apps import apps
from django.db.models import JSONField, Model

from apps.evaluation.models import Evaluation
from apps.experiments import rows
from apps.experiments.models import DatasetVersion
from apps.providers.engine.catalogue import KNOWN_MODELS
from apps.providers.engine.commercial import COMMERCIAL_MODELS

LANGUAGE = "en-xa"
_ACCENTED = str.maketrans("aeiouycnszAEIOUYCNSZ", "áéíóúýçñšžÁÉÍÓÚÝÇÑŠŽ")
# What must stay as it is: placeholders and markup inside a message.
_KEPT = re.compile(r"%\([a-z_0-9]+\)[sd]|%[sd]|{[^}]*}|<[^>]+>|&[a-z]+;")
_CONTEXT = "\x04"


def pseudo(message: str) -> str:
    """The message in the pseudo-language."""
    if not message.strip():
        return message
    parts, last = [], 0
    for kept in _KEPT.finditer(message):
        parts += [message[last : kept.start()].translate(_ACCENTED), kept.group()]
        last = kept.end()
    return f"⟦{''.join(parts)}{message[last:].translate(_ACCENTED)}⟧"


class PseudoTranslation(gettext.NullTranslations):
    """What Django asks for a text; it knows every message there is."""

    def to_language(self) -> str:
        return LANGUAGE

    def gettext(self, message: str) -> str:
        return pseudo(message.split(_CONTEXT)[-1])

    def ngettext(self, singular: str, plural: str, number: int) -> str:
        return self.gettext(singular if number == 1 else plural)


_SPOKEN = frozenset({"title", "alt", "placeholder", "aria-label", "data-confirm", "data-copied", "label"})
_SILENT = frozenset({"script", "style", "code", "pre", "template"})
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
# What people and models wrote, cut into words or fields.
_DATA_CLASS = "diff"


class _Texts(HTMLParser):
    """Texts and spoken attributes of a page, in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._open: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in _SPOKEN and value and not any(self._open)]
        if tag not in _VOID:
            self._open.append(tag in _SILENT or _DATA_CLASS in (dict(attrs).get("class") or "").split())

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID and self._open:
            self._open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An SVG shape closes itself and holds no text."""

    def handle_data(self, data: str) -> None:
        if not any(self._open):
            self.found.append(data)


def untranslated(html: str, *, data: list[str], names: frozenset[str]) -> list[str]:
    """Words of a page that are neither in brackets, nor data, nor names."""
    texts = _Texts()
    texts.feed(html)
    words = []
    for text in texts.found:
        rest = text
        for known in data:
            rest = rest.replace(known, " ")
        # Brackets nest where one message stands inside another.
        while (shorter := re.sub(r"⟦[^⟦⟧]*⟧", " ", rest)) != rest:
            rest = shorter
        words += [word for word in re.findall(r"[A-Za-z]{2,}", rest) if word not in names]
    return words


def data_in_database() -> list[str]:
    """Every text that rows and datasets hold, the longest first, so that a shorter one inside it does not cut it up."""
    # `input` is how every prompt names what comes in: a variable of its language.
    found: set[str] = {"input"} | {
        text for known in KNOWN_MODELS for text in (known.name, known.repository, known.licence)
    }
    found.update(text for model in COMMERCIAL_MODELS for text in (model.name, model.label, model.replaced_by) if text)
    for model in apps.get_models():
        if model.__module__.startswith("apps."):
            found.update(_texts_of(model))
    shown = [row for version in DatasetVersion.objects.exclude(artifact="") for row in rows.train_rows(version)]
    shown += [row for version in DatasetVersion.objects.exclude(artifact="") for row in rows.validation_rows(version)]
    for evaluation in Evaluation.objects.filter(looks__isnull=False):
        shown += rows.rows_for_evaluation(evaluation).values()
    for row in shown:
        # Pages name a row by the beginning of its id.
        found.update((row.input, row.expected, row.id, row.id[:10]))
    return sorted(found, key=len, reverse=True)


def _texts_of(model: type[Model]) -> Iterator[str]:
    names = [field.name for field in model._meta.concrete_fields if not field.choices]
    for row in model._default_manager.values(*names):
        for name, value in row.items():
            if isinstance(model._meta.get_field(name), JSONField):
                yield from strings_in(value)
            elif value is not None and re.search("[A-Za-z]{2}", str(value)):
                yield str(value)
                # A page may show the fields of an answer one by one.
                with contextlib.suppress(ValueError):
                    yield from strings_in(json.loads(str(value)))


def strings_in(value: object) -> Iterator[str]:
    """Every text inside a JSON value; keys also as words."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from strings_in(key)
            yield from strings_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_in(inner)
    elif isinstance(value, str) and re.search("[A-Za-z]{2}", value):
        yield value
        words = value.replace("_", " ")
        # A key of a document is shown as words.
        yield words[:1].upper() + words[1:]
