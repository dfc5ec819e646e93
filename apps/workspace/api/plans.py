"""A whole experiment on a dataset version by REST: what is proposed for it, and the job that runs it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _
from rest_framework.decorators import api_view
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import scope
from apps.core.access import fetch_for_user
from apps.core.api.once import once
from apps.core.api.schema import documented
from apps.core.errors import NotFound
from apps.experiments.models import DatasetVersion
from apps.providers.engine.commercial import CommercialModel
from apps.workspace.api.serializers import PlanSerializer, ProposalSerializer, RunSerializer
from apps.workspace.forms.plan import PlanForm, plan_form
from apps.workspace.models import ExperimentRun
from apps.workspace.quickstart.commercial import models_within_reach
from apps.workspace.selectors import plans as selectors
from apps.workspace.selectors.model_choices import ModelChoice
from apps.workspace.services.plans import plan_start

TAG = "experiments"


@documented(
    "plan",
    says="A whole experiment as it is proposed for these rows, with minutes and cost.",
    method="GET",
    answer=ProposalSerializer,
    refusals=[404],
    tag=TAG,
)
@documented(
    "plan_start",
    says="Run the proposal, changed as wanted, in one job. The same plan again goes on with its run.",
    method="POST",
    answer=RunSerializer,
    status=202,
    request=PlanSerializer,
    refusals=[404],
    tag=TAG,
)
@api_view(["GET", "POST"])
@once
def plan(request: Request, uid: UUID, number: int) -> Response:
    """A whole experiment as it is proposed for these rows, with minutes and cost; or run it, changed as wanted.

    What a POST leaves out is as proposed. It imports nothing anew, trains, tests and writes the report in one job.
    """
    writes = request.method == "POST"
    version = fetch_for_user(
        DatasetVersion,
        request.user,
        "edit" if writes else "view",
        dataset__uid=uid,
        number=number,
        **scope(request, "dataset__team"),
    )
    models = [choice for choice in selectors.base_choices(user=request.user, team=version.dataset.team) if choice.ready]
    within_reach = models_within_reach(user=request.user, team=version.dataset.team)
    if not writes:
        return Response(_proposed(version, models, within_reach))
    given = PlanSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    form = _filled(version, models, given.validated_data, within_reach)
    if not form.is_valid():
        raise ValidationError({name: [str(one) for one in said] for name, said in form.errors.items()})
    run = plan_start(actor=request.user, version=version, base=form.cleaned_data["base_model"], values=form.plan)
    location = request.build_absolute_uri(reverse("api_experiment_run", args=[run.uid]))
    return Response(RunSerializer(run).data, status=202, headers={"Location": location})


@documented("experiment_run", method="GET", answer=RunSerializer, refusals=[404], tag=TAG)
@api_view(["GET"])
def experiment_run(request: Request, uid: UUID) -> Response:
    """The job of a plan or a final test. `experiment` is null until the job has made it, in its first second."""
    return Response(RunSerializer(fetch_for_user(ExperimentRun, request.user, uid=uid, **scope(request))).data)


def _proposed(version: DatasetVersion, models: list[ModelChoice], within_reach: Sequence[CommercialModel]) -> Any:
    base = models[0] if models else None
    proposal = selectors.proposal_for(version, base, within_reach)
    form = plan_form(version, models, proposal)
    choices = {name: [str(key) for key, _label in form.fields[name].choices] for name in _CHOICES}  # type: ignore[attr-defined]
    return ProposalSerializer(
        {
            "proposal": _values(form),
            "choices": choices,
            "unfit": proposal.unfit,
            "few_test": proposal.few_test,
            "estimate": vars(selectors.estimate_for(version, base, proposal.initial, within_reach)),
        }
    ).data


_CHOICES = ("metrics", "primary_metric", "base_model", "baselines", "preset")


def _filled(
    version: DatasetVersion,
    models: list[ModelChoice],
    given: dict[str, Any],
    within_reach: Sequence[CommercialModel],
) -> PlanForm:
    """The form of the page, filled with what was sent over what is proposed for the model that it names."""
    named = str(given.get("base_model") or "")
    base = next((model for model in models if model.value == named), None)
    if named and base is None:
        raise NotFound(_("No model of this team that runs here and is ready has this id."), field="base_model")
    base = base or (models[0] if models else None)
    proposal = selectors.proposal_for(version, base, within_reach)
    sent = {"budget" if name == "budget_usd" else name: value for name, value in given.items()}
    values = {**_values(plan_form(version, models, proposal)), **sent}
    return plan_form(version, models, proposal, data={**values, "base_model": base.value if base else ""})


def _values(form: PlanForm) -> dict[str, Any]:
    """Every field as it is proposed."""
    found = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    return {name: value for name, value in found.items() if value is not None}
