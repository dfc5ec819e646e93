"""Fixtures of tests in a language that nobody speaks."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import translation
from django.utils.translation import trans_real

from apps.core.tests.pseudo import LANGUAGE, PseudoTranslation


@pytest.fixture
def pseudo_language(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.LANGUAGE_CODE = LANGUAGE
    settings.LANGUAGES = [(LANGUAGE, "Pseudo")]
    settings.EMBEDDED = True
    # Changed settings empty the store of languages, so this comes after them.
    monkeypatch.setitem(trans_real._translations, LANGUAGE, PseudoTranslation())
    with translation.override(LANGUAGE):
        yield
