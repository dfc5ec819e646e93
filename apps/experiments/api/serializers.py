"""The shape of datasets, uploads, imports and prompts in the API."""

from typing import Any, ClassVar, get_args

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.core.api.paging import PageQuery
from apps.core.api.shapes import RequestSerializer
from apps.experiments.engine.intake.problems import OFFERED_FIXES
from apps.experiments.engine.templates import MAX_TEMPLATE_CHARACTERS
from apps.experiments.forms import ANSWER_FORMATS
from apps.experiments.models import Dataset, DatasetImport, DatasetVersion, Prompt, PromptVersion, Upload
from apps.experiments.models.shares import DEFAULT_PERCENT, LEAST_PERCENT, MOST_PERCENT
from apps.experiments.services.derived_versions import Operation
from apps.experiments.services.prompts import (
    MAX_DEMONSTRATIONS,
    MAX_DESCRIPTION,
    MAX_MESSAGES,
    MAX_NAME,
    MAX_NOTE,
)
from apps.providers.engine.messages import ROLES

# As many as the column of their number counts.
MOST_VERSIONS = 2**31 - 1


class DatasetVersionSerializer(serializers.ModelSerializer[DatasetVersion]):
    """One immutable version. `answer` says what an answer is; `columns` are variables of prompts beside `input`."""

    dataset = serializers.UUIDField(source="dataset.uid")
    parent = serializers.UUIDField(source="parent.uid", default=None, allow_null=True)  # type: ignore[assignment]

    class Meta:
        model = DatasetVersion
        fields = (
            "uid",
            "dataset",
            "number",
            "content_hash",
            "train_count",
            "validation_count",
            "test_count",
            "answer",
            "columns",
            "parent",
            "created_at",
        )


class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    versions = DatasetVersionSerializer(many=True)

    class Meta:
        model = Dataset
        fields = (
            "uid",
            "name",
            "description",
            "source",
            "licence",
            "split_seed",
            "validation_percent",
            "test_percent",
            "created_at",
            "versions",
        )


class DatasetChangeSerializer(RequestSerializer):
    name = serializers.CharField(max_length=160)


class PairSerializer(RequestSerializer):
    input = serializers.CharField(trim_whitespace=False)
    expected = serializers.CharField(trim_whitespace=False)


# What each operation takes.
NEEDED: dict[str, tuple[str, ...]] = {
    "keep_text": ("text",),
    "drop_text": ("text",),
    "keep_labels": ("labels",),
    "one_of_alike": (),
    "leave_out": ("ids",),
    "fix": ("row", "input", "expected"),
    "add": ("rows",),
}
_ARGUMENTS = {"row": "row_id", "input": "new_input", "expected": "new_expected", "rows": "pairs"}


class DeriveSerializer(RequestSerializer):
    """One operation with what it needs.

    `keep_text` and `drop_text` take `text`; `keep_labels` takes `labels`; `one_of_alike` takes nothing; `leave_out`
    takes `ids` of rows; `fix` takes `row`, the id of one, with its new `input` and `expected`; `add` takes `rows`.
    """

    SCHEMA: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {"properties": {"operation": {"pattern": f"^{operation}$"}}, **({"required": [*names]} if names else {})}
            for operation, names in NEEDED.items()
        ]
    }
    operation = serializers.ChoiceField(choices=list(get_args(Operation)))
    text = serializers.CharField(required=False, max_length=200)
    labels = serializers.ListField(child=serializers.CharField(), required=False)
    ids = serializers.ListField(child=serializers.CharField(), required=False)
    row = serializers.CharField(required=False)
    input = serializers.CharField(required=False, trim_whitespace=False)
    expected = serializers.CharField(required=False, trim_whitespace=False)
    rows = PairSerializer(many=True, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        missing = [name for name in NEEDED[attrs["operation"]] if name not in attrs]
        if missing:
            said = _("The operation %(operation)s needs it.") % {"operation": attrs["operation"]}
            raise serializers.ValidationError(dict.fromkeys(missing, said))
        return attrs

    def as_arguments(self) -> dict[str, Any]:
        """What the service takes."""
        given: dict[str, Any] = self.validated_data
        operation = given["operation"]
        found = {_ARGUMENTS.get(name, name): given[name] for name in NEEDED[operation]}
        if "pairs" in found:
            found["pairs"] = [(pair["input"], pair["expected"]) for pair in found["pairs"]]
        return {"operation": operation, **found}


@extend_schema_field({"type": "string", "enum": ["train", "validation"]})
class SplitField(serializers.CharField):
    """A split whose rows may be seen. Why those of another may not is said where they are kept."""


class RowQuery(PageQuery):
    split = SplitField(default="train", help_text="`train` unless told. Test rows are never given.")
    q = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=200,
        help_text="Only rows whose input or expected answer contains this text.",
    )


class RowSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    split = serializers.CharField()
    input = serializers.CharField()
    expected = serializers.CharField()
    columns = serializers.DictField(child=serializers.CharField())


class RowPageSerializer(serializers.Serializer[Any]):
    """`count` is the number of rows that match; where `more` is true there are more than that."""

    count = serializers.IntegerField()
    more = serializers.BooleanField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = RowSerializer(many=True)


class UploadSerializer(serializers.ModelSerializer[Upload]):
    """A file. `status` is `succeeded` once it was read; then `inspection` says what it holds, else `error` why not."""

    status = serializers.CharField()

    class Meta:
        model = Upload
        fields = ("uid", "name", "size_bytes", "sha256", "status", "phase", "error", "inspection", "created_at")


class ImportSerializer(serializers.ModelSerializer[DatasetImport]):
    """A mapped file. `status` is `succeeded` once every row was checked; `report` counts what became of them."""

    status = serializers.CharField()
    upload = serializers.UUIDField(source="upload.uid")
    dataset = serializers.UUIDField(source="dataset.uid", default=None, allow_null=True)
    dataset_version = DatasetVersionSerializer(allow_null=True)

    class Meta:
        model = DatasetImport
        fields = (
            "uid",
            "upload",
            "name",
            "dataset",
            "mapping",
            "answer",
            "validation_percent",
            "test_percent",
            "fixes",
            "status",
            "phase",
            "error",
            "report",
            "dataset_version",
            "created_at",
        )


class FileSerializer(serializers.Serializer[Any]):
    """The body of an upload: one file as multipart/form-data."""

    file = serializers.FileField()


class MappingSerializer(RequestSerializer):
    """What columns mean. Left out: what was found in the file."""

    input = serializers.CharField(required=False)
    expected = serializers.CharField(required=False)
    group = serializers.CharField(required=False, allow_blank=True)
    keep = serializers.ListField(child=serializers.CharField(), required=False)


class AnswerSerializer(RequestSerializer):
    """What an answer is. Labels and fields that are not named are taken from the file."""

    format = serializers.ChoiceField(choices=[name for name, _label in ANSWER_FORMATS])
    labels = serializers.ListField(child=serializers.CharField(), required=False)
    fields_ = serializers.ListField(child=serializers.CharField(), required=False)
    tolerance = serializers.FloatField(required=False, min_value=0)

    def get_fields(self) -> dict[str, Any]:
        """`fields` is a name that serializers have for something else."""
        found = super().get_fields()
        return {name.rstrip("_"): field for name, field in found.items()}


class ImportCreateSerializer(RequestSerializer):
    """`dataset` gets a new version; without it a new dataset is called `name`, and gives these shares of its rows to
    validation and test. A dataset that exists keeps its own shares."""

    name = serializers.CharField(required=False, max_length=160)
    dataset = serializers.UUIDField(required=False, allow_null=True)
    mapping = MappingSerializer(required=False)
    answer = AnswerSerializer(required=False)
    validation_percent = serializers.IntegerField(
        required=False, default=DEFAULT_PERCENT, min_value=LEAST_PERCENT, max_value=MOST_PERCENT
    )
    test_percent = serializers.IntegerField(
        required=False, default=DEFAULT_PERCENT, min_value=LEAST_PERCENT, max_value=MOST_PERCENT
    )
    fixes = serializers.ListField(
        child=serializers.ChoiceField(choices=OFFERED_FIXES),
        required=False,
        help_text="Safe fixes to make, all of them unless told. Rows that another would have mended are left out.",
    )


class MessageSerializer(RequestSerializer):
    role = serializers.ChoiceField(choices=ROLES)
    content = serializers.CharField(trim_whitespace=False, max_length=MAX_TEMPLATE_CHARACTERS)


class PromptVersionSerializer(serializers.ModelSerializer[PromptVersion]):
    prompt = serializers.UUIDField(source="prompt.uid")
    messages = MessageSerializer(many=True)
    demonstrations = serializers.ListField(child=serializers.DictField())

    class Meta:
        model = PromptVersion
        fields = ("uid", "prompt", "number", "messages", "demonstrations", "note", "content_hash", "created_at")


class PromptSerializer(serializers.ModelSerializer[Prompt]):
    """A prompt with the numbers that its labels point at."""

    newest = serializers.IntegerField(allow_null=True)
    labels = serializers.SerializerMethodField()

    class Meta:
        model = Prompt
        fields = ("uid", "name", "description", "newest", "labels", "created_at")

    def get_labels(self, prompt: Prompt) -> dict[str, int]:
        return {label.name: label.version.number for label in prompt.labels.all()}


class PromptDetailSerializer(PromptSerializer):
    versions = serializers.SerializerMethodField()

    class Meta(PromptSerializer.Meta):
        fields = (*PromptSerializer.Meta.fields, "versions")  # type: ignore[assignment]

    def get_versions(self, prompt: Prompt) -> list[dict[str, Any]]:
        return list(PromptVersionSerializer(self.context["versions"], many=True).data)


class VersionCreateSerializer(RequestSerializer):
    """Messages over `{{ input }}` and kept columns; demonstrations are ids of training rows of `dataset_version`."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "anyOf": [{"required": ["dataset_version"]}, {"properties": {"demonstrations": {"maxItems": 0}}}]
    }
    messages = serializers.ListField(child=MessageSerializer(), min_length=1, max_length=MAX_MESSAGES)
    dataset_version = serializers.UUIDField(required=False, allow_null=True)
    demonstrations = serializers.ListField(
        child=serializers.CharField(), required=False, default=list, max_length=MAX_DEMONSTRATIONS
    )
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=MAX_NOTE)


class PromptCreateSerializer(VersionCreateSerializer):
    name = serializers.CharField(max_length=MAX_NAME)
    description = serializers.CharField(required=False, allow_blank=True, default="", max_length=MAX_DESCRIPTION)


class PromptChangeSerializer(RequestSerializer):
    """What is left out stays."""

    name = serializers.CharField(required=False, max_length=MAX_NAME)
    description = serializers.CharField(required=False, allow_blank=True, max_length=MAX_DESCRIPTION)


class LabelSerializer(RequestSerializer):
    version = serializers.IntegerField(min_value=1, max_value=MOST_VERSIONS, help_text="Of the version it points at.")
