"""The shape of what people say about the data that they bring."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.experiments.engine.intake.problems import OFFERED_FIXES
from apps.experiments.mapping import as_mapping, columns_of, is_chat
from apps.experiments.models.shares import DEFAULT_PERCENT, LEAST_PERCENT, MOST_PERCENT
from apps.experiments.reports import fix_choices

ANSWER_FORMATS = [
    ("text", _("Text")),
    ("label", _("One of these labels")),
    ("json", _("JSON with these keys")),
    ("number", _("A number")),
]


class UploadForm(forms.Form):
    file = forms.FileField(label=_("File"), allow_empty_file=True)

    def __init__(self, *args: Any, help_text: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["file"].help_text = help_text
        self.fields["file"].widget.attrs["accept"] = ".csv,.tsv,.tab,.txt,.jsonl,.ndjson,.json"


class FixesForm(forms.Form):
    """Which of the safe fixes that a file has a use for are made; all of them are offered ticked."""

    fixes = forms.MultipleChoiceField(
        label=_("Safe fixes"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Rows that a fix without a tick would have mended are left out, counted and listed."),
    )
    # What was offered, so that a fix without a tick is told from one that nobody was asked about.
    fixes_offered = forms.MultipleChoiceField(
        required=False, widget=forms.MultipleHiddenInput, choices=[(code, code) for code in OFFERED_FIXES]
    )

    def __init__(
        self, *args: Any, found: Mapping[str, Any], accepted: Sequence[str] = OFFERED_FIXES, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        choices = fix_choices(found)
        self.fields["fixes"].choices = choices  # type: ignore[attr-defined]
        self.initial["fixes"] = [code for code, _words in choices if code in accepted]
        self.initial["fixes_offered"] = [code for code, _words in choices]
        if not choices:
            del self.fields["fixes"]

    def accepted_fixes(self) -> list[str]:
        chosen = self.cleaned_data
        declined = set(chosen["fixes_offered"]) - set(chosen.get("fixes", []))
        return [code for code in OFFERED_FIXES if code not in declined]


class ImportForm(FixesForm):
    """What the columns of one inspected file mean, what an answer looks like, and which dataset gets the rows."""

    input = forms.ChoiceField(label=_("Input"), help_text=_("What the model is given."))
    expected = forms.ChoiceField(label=_("Expected answer"), help_text=_("What a right answer is."))
    group = forms.ChoiceField(
        label=_("Group"),
        required=False,
        help_text=_("Rows with the same value stay in one split: rows of one customer or one document, for instance."),
    )
    keep = forms.MultipleChoiceField(
        label=_("Other columns to keep"), required=False, widget=forms.CheckboxSelectMultiple
    )
    format = forms.ChoiceField(label=_("An answer is"), choices=ANSWER_FORMATS, widget=forms.RadioSelect)
    labels = forms.CharField(
        label=_("Labels, one on each line"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_("For labels. Empty: every answer that the column has."),
    )
    keys = forms.CharField(
        label=_("Keys, one on each line"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
        help_text=_("For JSON. Empty: every key that the answers have."),
    )
    tolerance = forms.FloatField(
        label=_("Tolerance"),
        required=False,
        min_value=0,
        help_text=_("For numbers: how far from the expected number an answer still counts as right."),
    )
    dataset = forms.ChoiceField(label=_("Add to"), required=False)
    name = forms.CharField(
        label=_("Name of the new dataset"),
        max_length=160,
        help_text=_("What the task is called."),
        error_messages={"required": _("Give the new dataset a name, or choose a dataset to add the rows to.")},
    )
    validation_percent = forms.IntegerField(
        label=_("For validation, in percent"),
        initial=DEFAULT_PERCENT,
        min_value=LEAST_PERCENT,
        max_value=MOST_PERCENT,
        help_text=_("Rows to choose candidates by."),
    )
    test_percent = forms.IntegerField(
        label=_("For the test, in percent"),
        initial=DEFAULT_PERCENT,
        min_value=LEAST_PERCENT,
        max_value=MOST_PERCENT,
        help_text=_("Locked for the final comparison. The rest is for training. Later versions keep these shares."),
    )

    def __init__(
        self, *args: Any, inspection: Mapping[str, Any], datasets: list[tuple[str, str]], **kwargs: Any
    ) -> None:
        super().__init__(*args, found=inspection, **kwargs)
        self.inspection = inspection
        columns = [(name, name) for name in columns_of(inspection)]
        self._choose("dataset", [("", _("A new dataset")), *datasets])
        self.fields["name"].required = not (self.data if self.is_bound else self.initial).get("dataset")
        self._choose("group", [("", _("None")), *columns])
        if is_chat(inspection):
            for name in ("input", "expected", "keep"):
                del self.fields[name]
        else:
            self._choose("input", columns)
            self._choose("expected", columns)
            self._choose("keep", columns)

    def _choose(self, name: str, choices: list[tuple[str, Any]]) -> None:
        self.fields[name].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        chosen: dict[str, Any] = super().clean() or {}
        if chosen.get("input") and chosen.get("input") == chosen.get("expected"):
            self.add_error("expected", _("Input and expected answer must be two columns."))
        return chosen

    def mapping(self) -> dict[str, Any]:
        return as_mapping(self.inspection, self.cleaned_data)


class DatasetForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=160)


OPERATIONS = [
    ("keep_text", _("Keep only rows that contain a text")),
    ("drop_text", _("Leave out rows that contain a text")),
    ("keep_labels", _("Keep only rows with these labels")),
    ("one_of_alike", _("Keep one of rows that are almost the same")),
    ("add", _("Add rows that you type")),
]


class DeriveForm(forms.Form):
    """How the next version is made from one."""

    operation = forms.ChoiceField(label=_("What to do"), choices=OPERATIONS, widget=forms.RadioSelect)
    text = forms.CharField(
        label=_("Text"),
        required=False,
        max_length=200,
        help_text=_("Looked for in input and expected answer, whatever its case and spaces."),
    )
    labels = forms.MultipleChoiceField(label=_("Labels"), required=False, widget=forms.CheckboxSelectMultiple)
    pairs = forms.CharField(
        label=_("Rows"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text=_("One row on each line: the input, a tab, the expected answer. For more rows upload a file."),
    )

    def __init__(self, *args: Any, labels: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if labels:
            self.fields["labels"].choices = [(label, label) for label in labels]  # type: ignore[attr-defined]
        else:
            del self.fields["labels"]
            self.fields["operation"].choices = [  # type: ignore[attr-defined]
                choice for choice in OPERATIONS if choice[0] != "keep_labels"
            ]

    def clean_pairs(self) -> list[tuple[str, str]]:
        """(input, expected) of each line that is not empty."""
        made = []
        for number, line in enumerate(self.cleaned_data["pairs"].splitlines(), start=1):
            text, tab, expected = line.partition("\t")
            if not line.strip():
                continue
            if not tab:
                raise forms.ValidationError(
                    _("Line %(number)s has no tab between input and expected answer.") % {"number": number}
                )
            made.append((text.strip(), expected.strip()))
        return made

    def clean(self) -> dict[str, Any]:
        chosen: dict[str, Any] = super().clean() or {}
        if chosen.get("operation") == "keep_labels" and not chosen.get("labels"):
            self.add_error("labels", _("Choose at least one label."))
        return chosen

    def as_arguments(self) -> dict[str, Any]:
        """What the service takes for the chosen operation."""
        chosen = self.cleaned_data
        needed = {"keep_text": "text", "drop_text": "text", "keep_labels": "labels", "add": "pairs"}
        name = needed.get(chosen["operation"])
        return {"operation": chosen["operation"], **({name: chosen[name]} if name else {})}


class RowForm(forms.Form):
    input = forms.CharField(label=_("Input"), strip=False, widget=forms.Textarea(attrs={"rows": 6}))
    expected = forms.CharField(label=_("Expected answer"), strip=False, widget=forms.Textarea(attrs={"rows": 4}))
