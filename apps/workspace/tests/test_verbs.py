"""Audit events in words."""

import re
from pathlib import Path

import pytest
from django.conf import settings

from apps.core import jobs
from apps.workspace.verbs import VERBS, activity_text

WRITTEN = re.compile(r'verb="([a-z_]+\.[a-z_]+)"')


@pytest.mark.syntax
def test_every_verb_that_the_source_records_has_its_words() -> None:
    recorded = {
        verb
        for path in (Path(settings.BASE_DIR) / "apps").rglob("*.py")
        if "tests" not in path.parts
        for verb in WRITTEN.findall(path.read_text(encoding="utf-8"))
    }
    of_jobs = {
        f"{kind.model_class._meta.model_name}.{ending}"
        for kind in jobs.kinds()
        for ending in ("cancelled", "paused", "resumed")
    }

    assert recorded
    assert (recorded | of_jobs) - VERBS.keys() == set()


def test_the_facts_of_an_event_fill_its_words() -> None:
    assert activity_text("candidate.added", {"name": "Lookup", "trial": False}) == "added the candidate Lookup"


def test_an_event_without_the_fact_that_its_words_need_is_still_shown() -> None:
    assert activity_text("candidate.added", {}) == "candidate: added"


def test_an_unknown_verb_is_shown_as_it_was_written() -> None:
    assert activity_text("webhook.was_sent", {}) == "webhook: was sent"
