"""What every plan of a training has to satisfy, before anything is measured or started."""

from typing import Any

from django.utils.translation import gettext as _

from apps.core.access import require
from apps.core.errors import ApplicationError, Conflict, translated
from apps.experiments.engine.prompts import PromptError
from apps.experiments.selectors import prompt_spec
from apps.providers.models import LanguageModel
from apps.training.engine.errors import TrainingError
from apps.training.engine.spec import spec_from_dict
from apps.training.plan import Planned

TRAINABLE = frozenset({LanguageModel.Kind.LOCAL, LanguageModel.Kind.TRAINED})
_LIMITS = frozenset({"max_examples", "max_seconds", "leave_out_long"})


def plan_check(*, actor: Any, team: Any, plan: Planned) -> None:
    """NotAllowed, Conflict or ApplicationError with the first thing that is wrong with a plan."""
    require(team, actor, "edit")
    for part in (plan.base_model, plan.dataset_version, plan.prompt_version):
        if part.owning_team_id != team.pk:
            raise ApplicationError(_("Model, dataset and prompt must belong to the team that trains."))
    if plan.base_model.state != LanguageModel.State.READY:
        raise Conflict(_("%(model)s is not ready, so it cannot be trained further.") % {"model": plan.base_model.name})
    if plan.base_model.kind not in TRAINABLE:
        raise ApplicationError(
            _("%(model)s does not run here, so its weights cannot be trained.") % {"model": plan.base_model.name},
            code="not_trainable",
            field="base_model",
        )
    try:
        prompt_spec(plan.prompt_version)
    except PromptError as error:
        raise ApplicationError(translated(error), code="prompt_unsuitable", field="prompt_version") from error
    _check_spec(plan.spec)
    _check_limits(dict(plan.limits))


def _check_spec(spec: dict[str, Any]) -> None:
    try:
        spec_from_dict({"base_model": "base", **spec})
    except TrainingError as error:
        raise ApplicationError(translated(error), code="training_spec", field="spec") from error


def _check_limits(limits: dict[str, Any]) -> None:
    for name, value in limits.items():
        is_flag = name == "leave_out_long"
        if name not in _LIMITS or isinstance(value, bool) != is_flag or not isinstance(value, int) or value < 1:
            raise ApplicationError(
                _("The limit %(name)s cannot be %(value)s.") % {"name": name, "value": value},
                code="training_limits",
                field=name if name in _LIMITS else None,
            )
