"""Log lines are JSON for machines, and show nobody's way in."""

import json
import logging

import pytest
from django.test import Client

from apps.core.logs import JsonFormatter

TOKEN = "q7Zk-9_abcDEFghi0123456789jklMNOpqrSTUvwx"  # noqa: S105 - opens nothing


def formatted(**values: object) -> str:
    record = logging.makeLogRecord({"name": "django.request", "levelno": 30, "levelname": "WARNING", **values})
    return JsonFormatter().format(record)


def test_a_line_is_one_json_object_with_its_extra_facts() -> None:
    line = json.loads(formatted(msg="claimed %s", args=("row",), job="training"))
    assert (line["message"], line["job"], line["level"]) == ("claimed row", "training", "warning")


def test_a_sign_in_token_is_in_no_part_of_a_line() -> None:
    text = formatted(msg="Gone: %s", args=(f"/sign-in/link/{TOKEN}/",), request=f"<ASGIRequest: GET '/rate/{TOKEN}/'>")
    assert TOKEN not in text
    assert json.loads(text)["message"] == "Gone: /sign-in/…"


@pytest.mark.django_db
def test_a_refused_request_to_a_sign_in_link_is_logged_without_its_token(caplog: pytest.LogCaptureFixture) -> None:
    assert Client().post(f"/sign-in/link/{TOKEN}/").status_code == 405
    lines = [JsonFormatter().format(record) for record in caplog.records if record.name == "django.request"]
    assert any("Method Not Allowed" in line for line in lines)
    assert TOKEN not in "".join(lines)
