"""The written list of commercial models, against the data of the libraries that know the same things."""

import inspect
import re
from datetime import date, datetime
from typing import Any

import pytest

from apps.providers.engine.commercial import COMMERCIAL_MODELS, CommercialModel, commercial_model, offered_models

LISTED = [(model.provider, model.name) for model in COMMERCIAL_MODELS]


def entry_of(model: CommercialModel) -> Any:
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot().find_provider_model(model.name, None, model.provider, None)[1]


@pytest.mark.parametrize("model", COMMERCIAL_MODELS, ids=lambda model: model.name)
def test_context_lengths_are_those_of_the_price_data_and_what_is_offered_has_a_price(model: CommercialModel) -> None:
    entry = entry_of(model)

    # The oldest snapshot has none there.
    assert entry.context_window in (model.context_length, None)
    if model.offered:
        prices = entry.get_prices(datetime.fromisoformat("2026-11-30T00:00:00+00:00"))
        assert prices.input_mtok
        assert prices.output_mtok


def openai_dates() -> dict[str, date]:
    """Days after which the installed library says that OpenAI no longer answers."""
    from openai.types.shared import chat_model

    said = inspect.getsource(chat_model).partition("Deprecated values:")[2]
    found = {}
    for line in re.split(r"\n- ", " ".join(said.split(" ")).replace("\n  ", " ")):
        day = re.search(r"shutdown date: (\d{4}-\d{2}-\d{2})", line)
        if day:
            found |= dict.fromkeys(re.findall(r'"([^"]+)"', line), date.fromisoformat(day[1]))
    return found


def anthropic_dates() -> dict[str, date]:
    from anthropic.resources.messages.messages import DEPRECATED_MODELS

    plain = {name: re.sub(r"(\d)(st|nd|rd|th)", r"\1", said) for name, said in DEPRECATED_MODELS.items()}
    return {name: datetime.strptime(said, "%B %d, %Y").date() for name, said in plain.items()}  # noqa: DTZ007 - a day


@pytest.mark.parametrize(("provider", "dates"), [("openai", openai_dates), ("anthropic", anthropic_dates)])
def test_dates_of_retirement_are_those_of_the_providers_own_library(provider: str, dates: Any) -> None:
    theirs = dates()
    assert len(theirs) > 15

    ours = {name: found.retires_on for name in theirs if (found := commercial_model(provider, name)) is not None}
    assert ours == {name: theirs[name] for name in ours}
    # Every one of ours that has a date has it from there, or from a snapshot that is named there.
    dated = {model.name for model in COMMERCIAL_MODELS if model.provider == provider and model.retires_on}
    assert dated == {found.name for name in ours if (found := commercial_model(provider, name)) is not None}


def test_models_that_were_retired_in_october_2026_name_what_replaces_them() -> None:
    for name, successor in (
        ("gpt-4", "gpt-5.6-sol"),
        ("gpt-4-turbo", "gpt-5.6-sol"),
        ("gpt-3.5-turbo", "gpt-5.6-terra"),
    ):
        model = commercial_model("openai", name)
        assert model is not None
        assert (model.retired(date(2026, 10, 22)), model.retired(date(2026, 10, 23))) == (False, True)
        assert model.replaced_by == successor
        assert model in offered_models("openai")


def test_a_snapshot_is_what_its_name_without_the_day_is_unless_it_stands_there_itself() -> None:
    def name_of(provider: str, name: str) -> str | None:
        found = commercial_model(provider, name)
        return found.name if found else None

    assert name_of("openai", "gpt-5-mini-2025-08-07") == "gpt-5-mini"
    assert name_of("openai", "gpt-4-0613") == "gpt-4"
    assert name_of("openai", "gpt-4o-2024-05-13") == "gpt-4o-2024-05-13"
    assert name_of("anthropic", "claude-haiku-4-5-20251001") == "claude-haiku-4-5"
    assert name_of("anthropic", "gpt-4") is None
    assert name_of("compatible", "gpt-4") is None


def test_names_are_written_once() -> None:
    assert len(set(LISTED)) == len(LISTED)
    assert all(model.name != model.replaced_by for model in COMMERCIAL_MODELS)
