"""Answers for somebody outside the product: the gateway, the REST API and the playground ask through here."""

import time
from dataclasses import dataclass, replace
from threading import Lock

from django.utils.translation import gettext as _

from apps.billing.calls import MeteredCall, MeteredResult, ModelFacts
from apps.billing.services import prices_ensure_local
from apps.core.errors import ApplicationError
from apps.core.models.base import new_uid
from apps.providers.availability import ModelUnavailable, hindrance
from apps.providers.engine.clients.base import GenerateRequest
from apps.providers.models import LanguageModel
from apps.providers.names import callable_names, other_names

# A model that is added, renamed or retired is seen within this.
FRESH_SECONDS = 5.0
MOST_REMEMBERED = 10_000
_known: dict[tuple[int, str], tuple[float, "CallableModel"]] = {}
_lock = Lock()


class NoSuchModel(ApplicationError):
    """The team has no model of that name that can answer."""

    code = "model_not_found"
    status = 404


class AmbiguousModel(ApplicationError):
    """Several models of the team are called so; the sentence has the names that say which."""

    code = "model_ambiguous"
    status = 400


# What a failed call is for whoever asked, by the provider's code of it. Anything else is a bad gateway.
STATUS_OF = {
    "rate_limited": 429,
    "overloaded": 503,
    "timeout": 504,
    "bad_request": 400,
    "content_filter": 400,
    "context_too_long": 400,
}
BAD_GATEWAY = 502


class CallFailed(ApplicationError):
    """The model gave no answer; the sentence is the provider's, or ours where it said none."""


def answered(result: MeteredResult) -> MeteredResult:
    """The result of a call that was answered. CallFailed for one that was not."""
    if not result.error:
        return result
    code = result.error_code or result.error
    error = CallFailed(result.error_text.partition(": ")[2] or result.error_text, code=code)
    error.status = STATUS_OF.get(code, BAD_GATEWAY)
    raise error


@dataclass(frozen=True, slots=True)
class CallableModel:
    """A model that can be called now."""

    name: str
    facts: ModelFacts
    context_length: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and through which key of ours."""

    team_id: int
    person_id: int | None = None
    api_key_id: int | None = None


def callable_model(team_id: int, name: str) -> CallableModel:
    """The team's model of that name: its own, its provider's or an alias that was given to it, where only one is meant.

    NoSuchModel; AmbiguousModel; ModelUnavailable says why where the model is there and may not be called.
    """
    found = known_model(team_id, name)
    if found is not None:
        return found
    made = _read(team_id, name)
    with _lock:
        if len(_known) >= MOST_REMEMBERED:
            _known.clear()
        _known[team_id, name] = (time.monotonic() + FRESH_SECONDS, made)
    return made


def known_model(team_id: int, name: str) -> CallableModel | None:
    """As `callable_model`, of what this process has read lately alone: an event loop need not wait for it."""
    until, found = _known.get((team_id, name), (0.0, None))
    return found if time.monotonic() < until else None


def forget_models() -> None:
    """Read every model anew."""
    with _lock:
        _known.clear()


def metered_call(
    caller: Caller, model: CallableModel, request: GenerateRequest, *, purpose: str, use_cache: bool, repeat: int = 0
) -> MeteredCall:
    """The call that answers a request. Its `generation_uid` is the id that the caller may be told at once."""
    uid = new_uid().hex
    return MeteredCall(
        team_id=caller.team_id,
        experiment_id=None,
        language_model=model.facts,
        request=replace(request, model=model.facts.call_name),
        purpose=f"{purpose}:{uid}",
        repeat=repeat,
        use_cache=use_cache,
        person_id=caller.person_id,
        api_key_id=caller.api_key_id,
        generation_uid=uid,
    )


def callable_models(team_id: int) -> list[LanguageModel]:
    """Every model of a team that can answer now, newest first."""
    ready = LanguageModel.objects.filter(team_id=team_id, state=LanguageModel.State.READY)
    return [model for model in ready.select_related("team", "provider_key") if hindrance(model) is None]


def names_of_callable_models(team_id: int) -> list[tuple[str, LanguageModel]]:
    """Every name that can be called now, with its model: each model's own, newest first, then the aliases by name."""
    models = callable_models(team_id)
    aliases = callable_names(team_id)
    found = [(alias, model) for model in models for alias in aliases.get(model.pk, [])]
    return [*((model.served_name, model) for model in models), *sorted(found, key=lambda each: each[0])]


def _named(team_id: int, name: str) -> LanguageModel | None:
    """A model's own name goes before what its provider calls it and before aliases."""
    if "\x00" in name:
        # No text that a database can hold, so the name of nothing.
        return None
    models = LanguageModel.objects.filter(team_id=team_id).select_related("team", "provider_key")
    own: LanguageModel | None = models.filter(served_name=name).first()
    if own is not None:
        return own
    by_provider = models.filter(provider_model=name, state=LanguageModel.State.READY)
    called = [*by_provider.values_list("pk", "served_name")]
    called += [(each.model_id, each.whole) for each in other_names(team_id) if name in (each.short, each.whole)]
    if len({pk for pk, _whole in called}) > 1:
        names = ", ".join(sorted(whole for _pk, whole in called))
        message = _("Several models are called %(name)s. Name one of %(names)s.")
        raise AmbiguousModel(message % {"name": name, "names": names}, field="model")
    found: LanguageModel | None = models.filter(pk=called[0][0]).first() if called else None
    return found


def _read(team_id: int, name: str) -> CallableModel:
    model = _named(team_id, name)
    if model is None:
        raise NoSuchModel(
            _("There is no model %(name)s in this team. GET /v1/models lists those that answer.") % {"name": name[:160]}
        )
    if model.state != LanguageModel.State.READY:
        said = {"name": model.served_name, "state": model.get_state_display()}
        raise NoSuchModel(_("The model %(name)s cannot answer: its state is %(state)s.") % said)
    in_the_way = hindrance(model)
    if in_the_way is not None:
        raise ModelUnavailable(in_the_way.says, code=in_the_way.code, field="model")
    if not model.provider:
        # The team's machine costs what it is assumed to, until somebody sets another price.
        prices_ensure_local(actor=None, team=model.team)
    return CallableModel(model.served_name, ModelFacts.of(model), model.context_length)
