"""From a file to a dataset version by REST: send it, say what it means, accept what became of its rows."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from rest_framework.decorators import api_view
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.api.teams import scope, team_for
from apps.core.access import fetch_for_user
from apps.core.api.once import done_once, once
from apps.core.api.paging import page
from apps.core.api.schema import documented
from apps.core.errors import ApplicationError, Conflict
from apps.core.formats import size_text
from apps.core.models import JobStatus
from apps.core.uploads.handler import QuarantineHandler
from apps.experiments import selectors
from apps.experiments.api.serializers import (
    DatasetSerializer,
    DatasetVersionSerializer,
    FileSerializer,
    ImportCreateSerializer,
    ImportSerializer,
    UploadSerializer,
)
from apps.experiments.forms import ImportForm
from apps.experiments.mapping import as_answer, suggested
from apps.experiments.models import DatasetImport, Upload
from apps.experiments.models.shares import DEFAULT_PERCENT
from apps.experiments.services import imports
from apps.experiments.services.uploads import upload_create, upload_refuse


class FileTooLarge(ApplicationError):
    code = "file_too_large"
    status = 413


class DatasetsView(APIView):
    """GET: the team's datasets. POST: a file, as `file` of multipart/form-data; a job looks at it in quarantine."""

    parser_classes = (MultiPartParser,)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.handler = QuarantineHandler(request)
        request.upload_handlers = [self.handler]
        try:
            return super().dispatch(request, *args, **kwargs)
        finally:
            self.handler.release()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Checking the CSRF token reads the body: whoever may not upload is refused before it.
        if request.method == "POST" and request._request.user.is_authenticated:
            self._team(request._request)
        super().initial(request, *args, **kwargs)

    def _team(self, request: Any) -> Any:
        return team_for(request, "edit" if request.method == "POST" else "view")

    @documented("datasets", method="GET", answer=DatasetSerializer, paged=True, tag="datasets")
    def get(self, request: Request) -> Response:
        """The team's datasets, newest first."""
        return page(request, selectors.datasets(user=request.user, team=self._team(request)), DatasetSerializer)

    @documented(
        "dataset_upload",
        method="POST",
        answer=UploadSerializer,
        status=202,
        request={"multipart/form-data": FileSerializer},
        refusals=[413],
        tag="datasets",
    )
    def post(self, request: Request) -> Response:
        """Send a file of rows. Follow the upload until it has succeeded, then import it."""
        team = self._team(request)
        sent = request.data  # reads the body
        if self.handler.too_large:
            refused = _("%(name)s is larger than %(size)s. Split it, or send fewer rows.") % {
                "name": self.handler.sent_name,
                "size": size_text(settings.UPLOAD_MAX_BYTES),
            }
            upload_refuse(actor=request.user, team=team, name=self.handler.sent_name, reason=refused)
            raise FileTooLarge(refused, field="file")
        if "file" not in sent or self.handler.received is None:
            raise ValidationError({"file": [_("Send one file as multipart/form-data.")]})
        received = self.handler.received
        return done_once(request, f"{received.name}\0{received.sha256}", lambda: self._created(request, team))

    def _created(self, request: Request, team: Any) -> Response:
        received = self.handler.take()
        assert received is not None
        made = upload_create(actor=request.user, team=team, received=received)
        location = request.build_absolute_uri(reverse("api_upload", args=[made.uid]))
        return Response(UploadSerializer(made).data, status=202, headers={"Location": location})


@documented("upload", method="GET", answer=UploadSerializer, refusals=[404], tag="datasets")
@api_view(["GET"])
def upload(request: Request, uid: UUID) -> Response:
    """A file that was sent: whether it was read yet, and what it holds."""
    return Response(UploadSerializer(_upload(request, uid, "view")).data)


@documented(
    "upload_import",
    method="POST",
    answer=ImportSerializer,
    status=202,
    request=ImportCreateSerializer,
    refusals=[404, 409],
    tag="datasets",
)
@api_view(["POST"])
@once
def upload_import(request: Request, uid: UUID) -> Response:
    """Say what columns and answers mean; a job checks every row. What is left out is as the file suggests."""
    found = _upload(request, uid, "edit")
    if found.status != JobStatus.SUCCEEDED:
        # Without its columns no mapping can be checked.
        raise Conflict(_("Only a file that was read through can become a dataset."))
    given = ImportCreateSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    form = _form(request, found, given.validated_data)
    if not form.is_valid():
        raise ValidationError({name: [str(one) for one in said] for name, said in form.errors.items()})
    target = form.cleaned_data["dataset"]
    made = imports.dataset_import_create(
        actor=request.user,
        upload=found,
        mapping=form.mapping(),
        answer=as_answer(form.cleaned_data),
        name=form.cleaned_data["name"].strip(),
        validation_percent=form.cleaned_data["validation_percent"],
        test_percent=form.cleaned_data["test_percent"],
        dataset=selectors.dataset(user=request.user, team=found.team, uid=target, action="edit") if target else None,
        fixes=given.validated_data.get("fixes"),
    )
    location = request.build_absolute_uri(reverse("api_import", args=[made.uid]))
    return Response(ImportSerializer(made).data, status=202, headers={"Location": location})


def _form(request: Request, found: Upload, given: dict[str, Any]) -> ImportForm:
    """The form of the page, filled with what was sent over what was suggested."""
    values = {**suggested(found.inspection), **given.get("mapping", {})}
    answer = given.get("answer")
    if answer is not None:
        values |= {
            "format": answer["format"],
            "labels": "\n".join(answer.get("labels", [])),
            "keys": "\n".join(answer.get("fields", [])),
            "tolerance": answer.get("tolerance", 0.0),
        }
    values["dataset"] = str(given.get("dataset") or "")
    values["name"] = given.get("name", "" if values["dataset"] else found.name.rpartition(".")[0])
    for share in ("validation_percent", "test_percent"):
        values[share] = given.get(share, DEFAULT_PERCENT)
    choices = selectors.dataset_choices(user=request.user, team=found.team)
    return ImportForm(values, inspection=found.inspection, datasets=choices)


@documented("import", method="GET", answer=ImportSerializer, refusals=[404], tag="datasets")
@api_view(["GET"])
def dataset_import(request: Request, uid: UUID) -> Response:
    """An import: whether every row was checked yet, and what became of them."""
    return Response(ImportSerializer(_import(request, uid, "view")).data)


@documented(
    "import_accept",
    method="POST",
    answer=DatasetVersionSerializer,
    status=201,
    refusals=[404, 409],
    tag="datasets",
)
@api_view(["POST"])
@once
def import_accept(request: Request, uid: UUID) -> Response:
    """Make the dataset version of the checked rows. Accepting it again gives the same version."""
    version = imports.dataset_import_accept(actor=request.user, dataset_import=_import(request, uid, "edit"))
    address = reverse("api_dataset_version", args=[version.dataset.uid, version.number])
    return Response(
        DatasetVersionSerializer(version).data, status=201, headers={"Location": request.build_absolute_uri(address)}
    )


def _upload(request: Request, uid: UUID, action: str) -> Upload:
    return fetch_for_user(Upload, request.user, action, uid=uid, **scope(request))


def _import(request: Request, uid: UUID, action: str) -> DatasetImport:
    return fetch_for_user(DatasetImport, request.user, action, uid=uid, **scope(request))
