"""Secrets at rest: encrypted with the first of `ENCRYPTION_KEYS`, readable with any of them, bound to their row.

A column holds a `Sealed`, never the text. Only code that asks with the row's context gets the text back, so a secret
copied into another row cannot be read there, and nothing that prints, logs or serialises a row shows it.
"""

import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.conf import settings
from django.core.checks import Error
from django.db import models
from django.utils.translation import gettext as _

from apps.core.errors import ApplicationError

HOW_TO_MAKE_ONE = 'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'


class CannotDecrypt(ApplicationError):
    """What is stored was encrypted with a key that this process does not have, or for another row."""

    code = "cannot_decrypt"
    status = 409


@dataclass(frozen=True)
class Sealed:
    """An encrypted text. Empty where nothing is kept."""

    token: str = field(default="", repr=False)

    def __str__(self) -> str:
        return "(encrypted)" if self.token else ""

    def __bool__(self) -> bool:
        return bool(self.token)

    def open(self, *, context: str) -> str:
        """The text that was sealed for `context`. CannotDecrypt where it was sealed for another row, or is foreign."""
        try:
            content = json.loads(_keys().decrypt(self.token))
        except InvalidToken:
            raise _cannot() from None
        if not hmac.compare_digest(str(content["context"]), context):
            raise _cannot()
        return str(content["text"])


def seal(text: str, *, context: str) -> Sealed:
    """`text` encrypted for `context`, which names the row that it belongs to."""
    return Sealed(_keys().encrypt(json.dumps({"context": context, "text": text}).encode()).decode())


def sealed_again(sealed: Sealed) -> Sealed:
    """The same content under the newest key; `sealed` itself where it is that already. CannotDecrypt."""
    try:
        newest = Fernet(settings.ENCRYPTION_KEYS[0])
        newest.decrypt(sealed.token)
    except InvalidToken:
        try:
            return Sealed(_keys().rotate(sealed.token).decode())
        except InvalidToken:
            raise _cannot() from None
    return sealed


def is_readable(sealed: Sealed) -> bool:
    """Whether a key of this process opens it; for which row it was sealed is not asked."""
    try:
        _keys().decrypt(sealed.token)
    except InvalidToken:
        return False
    return True


if TYPE_CHECKING:
    _Text = models.TextField[Sealed | str, Sealed]
else:
    _Text = models.TextField


class SealedField(_Text):
    """A column of a `Sealed`. A plain text is refused: it would be stored as it is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"blank": True, "default": Sealed, "editable": False, **kwargs})

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Sealed | None:
        return None if value is None else Sealed(value)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, Sealed) or value is None:
            return value
        if value == "":
            return Sealed()
        raise TypeError(f"{self.name} holds a Sealed, not {type(value).__name__}")

    def get_prep_value(self, value: Any) -> str | None:
        sealed: Sealed | None = self.to_python(value)
        return None if sealed is None else sealed.token

    def value_to_string(self, obj: models.Model) -> str:
        """For dumps of rows: that there is something, never what."""
        return str(self.value_from_object(obj))


def sealed_columns() -> Iterator[tuple[type[models.Model], str]]:
    """Every column of this installation that holds secrets."""
    for model in apps.get_models():
        for column in model._meta.concrete_fields:
            if isinstance(column, SealedField):
                yield model, column.name


def keys_check(app_configs: Any, **kwargs: Any) -> list[Error]:
    """At every start of a process that opens stored secrets: the list has a key, and each can be one."""
    if not settings.HOLDS_PROVIDER_SECRETS:
        return []
    if not settings.ENCRYPTION_KEYS:
        hint = f"Make one with: {HOW_TO_MAKE_ONE}"
        return [Error("LLMOPT_ENCRYPTION_KEYS is empty: provider keys cannot be stored.", hint=hint, id="core.E001")]
    found = []
    for place, key in enumerate(settings.ENCRYPTION_KEYS, 1):
        try:
            Fernet(key)
        except ValueError:
            said = f"Key {place} of LLMOPT_ENCRYPTION_KEYS is not 32 bytes in URL-safe base64."
            found.append(Error(said, hint=f"Make one with: {HOW_TO_MAKE_ONE}", id="core.E002"))
    return found


def _keys() -> MultiFernet:
    return _multi_fernet(tuple(settings.ENCRYPTION_KEYS))


@lru_cache(maxsize=4)
def _multi_fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _cannot() -> CannotDecrypt:
    return CannotDecrypt(
        _(
            "This secret was encrypted with a key that is not in LLMOPT_ENCRYPTION_KEYS. An operator puts that key "
            "back at the end of the list and starts LLMOpt again; or paste the secret once more."
        )
    )
