"""The style guide: every component in every state, over sample data that is marked as such."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from apps.core.templatetags.ui_states import STATES

NANO = 1_000_000_000
EXPECTED = '{"number":"17402","street":"Circa Del Norte","unit":"Lot 184","city":"Rancho Santa Fe","state":"CA"}'
OUTPUT = '{"number":"17402","street":"Circa Del Norte Lot","unit":"184","state":"CA","zip":"92067"}'


class SampleForm(forms.Form):
    """Every kind of field, with one that is wrong."""

    name = forms.CharField(label=gettext_lazy("Name"), help_text=gettext_lazy("Shown in lists and reports."))
    email = forms.EmailField(label=gettext_lazy("E-mail"))
    split = forms.ChoiceField(
        label=gettext_lazy("Split"),
        choices=[("validation", gettext_lazy("Validation")), ("test", gettext_lazy("Test"))],
    )
    notes = forms.CharField(label=gettext_lazy("Notes"), required=False, widget=forms.Textarea(attrs={"rows": 3}))
    upload = forms.FileField(label=gettext_lazy("File"), required=False)
    confirmed = forms.BooleanField(label=gettext_lazy("I may use this data"), required=False)


def sample_shell(here: str) -> dict[str, Any]:
    """A frame whose links all lead back here."""
    entries = [
        (_("Home"), "house"),
        (_("Experiments"), "flask-conical"),
        (_("Datasets"), "database"),
        (_("Models"), "box"),
        (_("Jobs"), "list-checks"),
        (_("Settings"), "settings"),
    ]
    return {
        "team": {"name": _("Sample team"), "url": here},
        "items": [{"label": label, "url": here, "icon": icon, "current": icon == "box"} for label, icon in entries],
        "jobs": {"running": 2, "url": here},
        "money": {"spent_nanousd": 13_400_000, "held_nanousd": 0, "url": None},
        "person": {"email": "alice@example.org", "account_url": here, "sign_out_url": None},
    }


def sample_rows() -> list[dict[str, Any]]:
    """A leaderboard: the reference, the recommended one, free baselines, one still running and one that failed."""
    figures: list[tuple[str, str, float, float, float, int, int, str, str]] = [
        ("SmolLM2, tuned", "tuned", 0.748, 0.712, 0.781, 61_000_000, 412, "reference", "succeeded"),
        ("Token lookup", "baseline", 0.571, 0.536, 0.606, 0, 0, "", "succeeded"),
        ("8 demonstrations", "prompted", 0.431, 0.392, 0.470, 148_000_000, 958, "", "succeeded"),
        ("Nearest example", "baseline", 0.322, 0.289, 0.355, 0, 3, "", "succeeded"),
    ]
    names = ("name", "kind", "value", "low", "high", "cost", "p50", "role", "state")
    return [dict(zip(names, figure, strict=True)) for figure in figures]


def sample_stages() -> list[dict[str, Any]]:
    """Stages of a job, one in each state that matters."""
    return [
        {"label": _("Import"), "state": "succeeded", "seconds": 4.2},
        {"label": _("Baselines"), "state": "succeeded", "seconds": 1.3, "detail": _("3 candidates")},
        {"label": _("Training"), "state": "running", "seconds": 187, "detail": _("Epoch 2 of 3")},
        {"label": _("Final test"), "state": "waiting", "seconds": None},
        {"label": _("Report"), "state": "waiting", "seconds": None},
    ]


def quality_figure() -> dict[str, Any]:
    """Quality against cost with intervals: the reference in grey, the recommended candidate in the accent."""
    rows = sample_rows()
    data = []
    for row in rows:
        role = {"tuned": "recommended"}.get(row["kind"], "reference" if row["name"].startswith("Token") else "")
        data.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "name": row["name"],
                "text": [row["name"]],
                "textposition": "middle right",
                "x": [row["cost"] / NANO],
                "y": [row["value"]],
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [row["high"] - row["value"]],
                    "arrayminus": [row["value"] - row["low"]],
                },
                "showlegend": False,
                "meta": {"role": role},
            }
        )
    axes = {
        "xaxis": {"title": {"text": _("Cost per 1,000 requests (US dollars)")}, "range": [-0.01, 0.24]},
        "yaxis": {"title": {"text": _("Field F1 (0 to 1)")}, "range": [0, 1]},
    }
    return {"data": data, "layout": axes}


def loss_figure() -> dict[str, Any]:
    """Training and validation loss over steps."""
    steps = list(range(0, 131, 10))
    train = [2.41, 1.72, 1.18, 0.91, 0.74, 0.63, 0.55, 0.49, 0.44, 0.41, 0.38, 0.36, 0.35, 0.34]
    held_out = [2.43, None, 1.24, None, 0.83, None, 0.66, None, 0.58, None, 0.54, None, 0.53, None]
    data = [
        {"type": "scatter", "mode": "lines", "name": _("training"), "x": steps, "y": train},
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": _("validation"),
            "x": steps,
            "y": held_out,
            "connectgaps": True,
        },
    ]
    axes = {
        "xaxis": {"title": {"text": _("Step")}},
        "yaxis": {"title": {"text": _("Loss per answer (nats)")}, "rangemode": "tozero"},
    }
    return {"data": data, "layout": axes}


def bar_figure() -> dict[str, Any]:
    """Latency of each candidate as bars that are coloured by role."""
    rows = sample_rows()
    roles = ["recommended", "reference", "", ""]
    bar = {
        "type": "bar",
        "orientation": "h",
        "y": [row["name"] for row in rows][::-1],
        "x": [row["p50"] for row in rows][::-1],
        "meta": {"roles": roles[::-1]},
    }
    return {"data": [bar], "layout": {"xaxis": {"title": {"text": _("Median latency (ms)")}}}}


def figure_tables() -> dict[str, dict[str, Any]]:
    """The same values as tables."""
    rows = sample_rows()
    return {
        "quality_table": {
            "columns": [
                {"label": _("Candidate")},
                {"label": _("Field F1"), "numeric": True},
                {"label": _("Cost per 1,000"), "unit": "$", "numeric": True},
            ],
            "rows": [[row["name"], f"{row['value']:.3f}", f"{row['cost'] / NANO:.3f}"] for row in rows],
        },
        "loss_table": {
            "columns": [{"label": _("Step"), "numeric": True}, {"label": _("Loss"), "numeric": True}],
            "rows": [["0", "2.41"], ["60", "0.55"], ["130", "0.34"]],
        },
        "bar_table": {
            "columns": [{"label": _("Candidate")}, {"label": _("Latency"), "unit": "ms", "numeric": True}],
            "rows": [[row["name"], str(row["p50"])] for row in rows],
        },
    }


def sample_context(here: str) -> dict[str, Any]:
    """Everything that the page shows."""
    columns = [
        {"label": _("Candidate")},
        {
            "label": _("Field F1"),
            "sort": "value",
            "numeric": True,
            "help": _("Micro-averaged over the fields of 223 test examples; 95 % bootstrap interval, 9,999 resamples."),
        },
        {"label": _("Interval, 0 to 1"), "width": "narrow"},
        {"label": _("Cost per 1,000"), "sort": "cost", "numeric": True},
        {"label": _("p50"), "unit": "ms", "sort": "p50", "numeric": True},
        {"label": _("State")},
    ]
    now = timezone.now()
    return {
        "shell": sample_shell(here),
        "crumbs": [{"label": _("Sample team"), "url": here}, {"label": _("Design")}],
        "tabs": [
            {"label": _("Components"), "url": here, "current": True},
            {"label": _("Outputs"), "url": f"{here}?tab=outputs", "count": 1784},
            {"label": _("Setup"), "url": f"{here}?tab=setup"},
        ],
        "states": list(STATES),
        "columns": columns,
        "short_columns": columns[:2],
        "rows": sample_rows(),
        "pager": {"text": _("1–50 of 223"), "previous": f"{here}?page=1", "next": f"{here}?page=2"},
        "stages": sample_stages(),
        "failed_stages": [
            {"label": _("Import"), "state": "succeeded", "seconds": 4.2},
            {"label": _("Training"), "state": "failed", "seconds": 62, "detail": _("Out of memory at step 12")},
            {"label": _("Final test"), "state": "skipped"},
        ],
        "facts": [(_("Base model"), "SmolLM2-135M-Instruct"), (_("Seed"), "20261124"), (_("Precision"), "float32")],
        "quality_figure": quality_figure(),
        "loss_figure": loss_figure(),
        "bar_figure": bar_figure(),
        "empty_figure": {"data": []},
        **figure_tables(),
        "form": SampleForm({"name": _("Addresses"), "email": "alice@", "split": "validation"}),
        "options": [("all", _("All states")), ("running", _("Running"))],
        "heard": now - timedelta(seconds=8),
        "lanes": [_("Candidate A"), _("Candidate B"), _("Candidate C")],
        "hour_ago": now - timedelta(hours=3, minutes=20),
        "fixed_time": datetime(2026, 11, 20, 16, 5, tzinfo=UTC),
        "expected": EXPECTED,
        "output": OUTPUT,
        **token_samples(),
    }


def token_samples() -> dict[str, Any]:
    """A few tokens of each state, as c-tokens takes them."""
    words = {"prompt": ["12", "·Elm", "·St", "⏎"], "trained": ['{"', "city", '":"', '"}'], "cut": ["<|im_end|>"]}
    stretches, position = [], 0
    for state, texts in words.items():
        tokens = [
            {"text": text, "id": 100 + number, "position": position + number, "special": state == "cut",
             "ends_line": text == "⏎"}
            for number, text in enumerate(texts)
        ]  # fmt: skip
        position += len(tokens)
        stretches.append({"state": state, "tokens": tokens})
    return {"token_stretches": stretches, "token_counts": {state: len(texts) for state, texts in words.items()}}


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    """`/styleguide/`: public, and made of sample data only."""
    return render(request, "styleguide/styleguide.html", sample_context(request.path))
