"""How engines say things without a translation library: English now, translatable until a person reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Translate = Callable[[str], str]


def gettext_noop(message: str) -> str:
    """Return the message unchanged; its name lets `makemessages` find the literal."""
    return message


def identity(message: str) -> str:
    """The default translation: English as written."""
    return message


class Sentence:
    """A template marked by `gettext_noop` with its named values. A value may be a sentence of its own."""

    __slots__ = ("params", "template")

    def __init__(self, template: str, /, **params: object) -> None:
        self.template = template
        self.params = {name: _value(value) for name, value in params.items()}

    def __str__(self) -> str:
        return self.say(identity)

    def say(self, translate: Translate) -> str:
        """The sentence in the language of `translate`."""
        values = {
            name: value.say(translate) if isinstance(value, Sentence) else value for name, value in self.params.items()
        }
        return translate(self.template) % values

    def as_json(self) -> dict[str, Any]:
        """What another process needs to say the sentence in its own language."""
        params = {
            name: value.as_json() if isinstance(value, Sentence) else value for name, value in self.params.items()
        }
        return {"template": self.template, "params": params}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Sentence:
        params = {
            name: cls.from_json(value) if isinstance(value, dict) else value
            for name, value in content["params"].items()
        }
        return cls(content["template"], **params)


class EngineError(Exception):
    """An expected failure, which a person can act on. `str()` is English; `sentence` can still be translated."""

    def __init__(self, said: str | Sentence, /, **params: object) -> None:
        self.sentence = said if isinstance(said, Sentence) else Sentence(said, **params)
        super().__init__(str(self.sentence))


def _value(value: object) -> Sentence | str | int | float:
    if isinstance(value, EngineError):
        return value.sentence
    return value if isinstance(value, Sentence | str | int | float) else str(value)
