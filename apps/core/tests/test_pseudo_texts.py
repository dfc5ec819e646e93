"""Texts beside pages in a pseudo-language: what engines refuse, health details, the terminal, commands."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.test import Client
from django.urls import reverse
from rich.console import Console

from apps.core import health
from apps.core.engine.messages import EngineError
from apps.core.errors import translated
from apps.core.processes.supervisor import AlreadyRunning
from apps.core.tests.pseudo import pseudo, strings_in, untranslated
from apps.core.tests.test_pseudo_locale import NAMES
from apps.evaluation.selectors import report_document
from apps.experiments.engine.prompts import PromptSpec, render_messages, spec_from_json
from apps.experiments.engine.rows import DUPLICATE, NO_INPUT
from apps.providers.engine.chat import ChatTokenizer
from apps.providers.engine.clients.errors import classify
from apps.providers.engine.messages import Message
from apps.training.engine.data import read_rows
from apps.training.engine.errors import TrainingError
from apps.training.engine.spec import spec_from_dict
from apps.training.events import failure_text
from apps.workspace.quickstart.progress import StepProgress
from apps.workspace.terminal.following import PHASES, state_text
from apps.workspace.terminal.report import print_report
from apps.workspace.tests.look_world import FEW, make_look


def refuse_busy() -> None:
    raise classify(429, {}, b'{"error": {"message": "Slow down."}}', request_id="")


def refuse_rows() -> None:
    read_rows(Path("train.jsonl"), what="training")


REFUSALS: dict[str, Callable[[], Any]] = {
    "construct": lambda: render_messages(PromptSpec((Message("user", "{{ input.x }}"),)), "a"),
    "role": lambda: spec_from_json([{"role": "tool", "content": "x"}]),
    "spec": lambda: spec_from_dict({"base_model": "m", "lora": {"targets": 3}}),
    "provider": refuse_busy,
    "chat": lambda: ChatTokenizer.load("nowhere"),
    "rows": refuse_rows,
}


@pytest.mark.parametrize("refuse", REFUSALS.values(), ids=REFUSALS.keys())
def test_what_an_engine_refuses_is_said_in_the_readers_language(
    refuse: Callable[[], Any], pseudo_language: None
) -> None:
    with pytest.raises(EngineError) as caught:
        refuse()

    assert translated(caught.value).startswith("⟦")
    assert untranslated(translated(caught.value), data=[], names=frozenset()) == []
    assert "⟦" not in str(caught.value)


def test_a_sentence_inside_a_sentence_is_translated_too_also_when_it_comes_as_an_event(pseudo_language: None) -> None:
    with pytest.raises(EngineError) as caught:
        ChatTokenizer.load("nowhere")
    error = TrainingError("rows", "%(label)s cannot be rendered: %(error)s", "r1", label="Row", error=caught.value)
    event = json.loads(json.dumps({"text": error.text, "sentence": error.sentence.as_json()}))

    said = failure_text(event)

    inner = pseudo("%(folder)s holds no tokenizer.json, so text cannot be turned into tokens.")
    assert said == pseudo("%(label)s cannot be rendered: %(error)s") % {
        "label": "Row",
        "error": inner % {"folder": "nowhere"},
    }
    assert (
        error.text == "Row cannot be rendered: nowhere holds no tokenizer.json, so text cannot be turned into tokens."
    )


def test_an_event_without_a_sentence_says_its_text_and_one_without_either_nothing() -> None:
    assert failure_text({"text": "The disk is full."}) == "The disk is full."
    assert failure_text({}) == ""


@pytest.mark.django_db
def test_health_details_pass_through_gettext(
    pseudo_language: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VAR_DIR, settings.INFERENCE_URL = tmp_path, "http://127.0.0.1:9/v1"
    monkeypatch.setattr(health, "_storage_seen", float("-inf"))

    details = [check.detail for check in health.readiness() if not check.ok]

    assert len(details) >= 2
    assert untranslated(" ".join(details), data=[], names=frozenset()) == []


@pytest.mark.django_db
def test_the_report_in_a_terminal_passes_through_gettext(pseudo_language: None) -> None:
    experiment = make_look("full", addresses=FEW).experiment
    assert experiment is not None
    experiment.refresh_from_db()
    report, shown = report_document(experiment), io.StringIO()
    report["training"]["trained_tokens_per_second"] = 96.0

    print_report(report, Console(file=shown, width=600))

    data = sorted(strings_in(report), key=len, reverse=True)
    assert pseudo("Candidate") in shown.getvalue()
    assert untranslated(shown.getvalue(), data=data, names=NAMES | {"Holm", "BH"}) == []


@pytest.mark.parametrize("state", ["waiting", "running", "done", "failed", "cancelled", "paused"])
@pytest.mark.parametrize("phase", ["", *PHASES])
def test_the_progress_in_a_terminal_passes_through_gettext(state: str, phase: str, pseudo_language: None) -> None:
    step = StepProgress("train", "", state, 61.0, 3, 9, seconds_left_low=4.0, seconds_left_high=90.0, detail=phase)

    assert untranslated(state_text(step), data=[], names=frozenset()) == []


@pytest.mark.django_db
def test_commands_speak_through_gettext(pseudo_language: None) -> None:
    with pytest.raises(CommandError, match="⟦"):
        call_command("login_link", "--email", "nobody@example.com")
    for app, name in (("apps.workspace", "up"), ("apps.core", "supervise"), ("apps.accounts", "login_link")):
        parser = load_command_class(app, name).create_parser("manage.py", name)
        assert str(parser.description).startswith("⟦")
    assert str(AlreadyRunning(None)).startswith("⟦")


@pytest.mark.django_db
def test_why_a_row_was_left_out_is_said_in_the_readers_language(client: Client, pseudo_language: None) -> None:
    look = make_look("full", addresses=FEW)
    assert look.version is not None
    client.force_login(look.owner)
    dataset = look.version.dataset

    page = client.get(reverse("dataset_version_problems", args=[look.team.slug, dataset.uid, look.version.number]))

    assert pseudo(DUPLICATE) in page.content.decode()
    assert pseudo(NO_INPUT) in page.content.decode()
