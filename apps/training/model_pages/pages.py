"""The list of models and the page of one."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.accounts.selectors import may, role_in
from apps.billing.engine.money import compute_cost_nanousd
from apps.billing.errors import UnknownPrice
from apps.billing.selectors import price_for, speeds_by_model, trained_prompt
from apps.core.formats import setting_lines
from apps.core.job_actions import job_part
from apps.core.live import topic_of
from apps.core.pages import page_number, render_page
from apps.experiments.engine.prompts import render_messages, variables_of
from apps.experiments.selectors import prompt_spec
from apps.providers import entries, selectors
from apps.providers.calling import curl_command, gateway_command
from apps.providers.engine.messages import Message
from apps.providers.models import LanguageModel
from apps.providers.names import callable_names
from apps.training.model_pages import reading
from apps.training.model_pages.downloads import offered_downloads
from apps.training.model_pages.prices import hour_price, provider_columns, provider_tables, shown_price
from apps.training.models import ModelVersion
from apps.training.services.aliases import SUGGESTED

PAGE_SIZE = 50


@require_safe
@team_page("view")
def model_list(request: HttpRequest, team: Team) -> HttpResponse:
    """What this team has trained and added, then the written list with the state of each."""
    models = selectors.language_models(user=request.user, team=team).select_related("fetch", "version")
    listed = entries.known_names()
    own_models = selectors.free_ones_last(models.filter(provider="").exclude(served_name__in=listed))
    page = Paginator(own_models, PAGE_SIZE).get_page(page_number(request))
    speeds = speeds_by_model(team)
    own = [entries.model_entry(model, team=team) for model in page]
    known = entries.known_entries(team=team, models=list(models.filter(served_name__in=listed)))
    context = {
        "page_obj": page,
        "own": [_row(entry, speeds) for entry in own],
        "known": [_row(entry, speeds) for entry in known],
        "columns": _columns(),
        "providers": provider_tables(user=request.user, team=team),
        "provider_columns": provider_columns(),
        "may_edit": may(user=request.user, team=team, action="edit"),
        "moving": any(entry.state in ("queued", "running") for entry in (*own, *known)),
    }
    return render_page(request, "providers/models.html", context, parts=("lists",))


def _row(entry: entries.ModelEntry, speeds: dict[int, Any]) -> dict[str, Any]:
    model = entry.model
    version = getattr(model, "version", None) if model is not None else None
    return {
        "entry": entry,
        "speed": speeds.get(model.pk) if model is not None else None,
        "aliases": version.aliases if version is not None else [],
        "computed": model is not None and model.kind == LanguageModel.Kind.BASELINE,
    }


def _columns() -> list[dict[str, Any]]:
    memory = _("4 bytes for each parameter, as served in float32. The text in work comes on top.")
    speed = _("Generated tokens by seconds of computing, over every call that was booked for this model.")
    return [
        {"label": _("Model")},
        {"label": _("State")},
        {"label": _("Where it runs")},
        {"label": _("Context"), "unit": _("tokens"), "numeric": True},
        {"label": _("Memory"), "numeric": True, "help": memory},
        {"label": _("Speed"), "unit": _("tokens/s"), "numeric": True, "help": speed},
        {"label": _("Action"), "hidden_label": True},
    ]


@require_safe
@team_page("view")
def model(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """How to use it first, then what is known of it."""
    found = selectors.language_model(user=request.user, team=team, uid=uid)
    version = reading.version_of(found)
    fetch = getattr(found, "fetch", None)
    entry = entries.model_entry(found, team=team)
    context: dict[str, Any] = {
        "model": found,
        "entry": entry,
        "crumbs": [{"label": _("Models"), "url": reverse("models", args=[team.slug])}],
        "role_edits": may(user=request.user, team=team, action="edit"),
        "role_manages": may(user=request.user, team=team, action="manage"),
        "row": job_part(fetch, role=role_in(user=request.user, team=team)) if fetch is not None else None,
        "topic_url": f"{reverse('home', args=[team.slug])}events/?topic={topic_of(fetch or found)}",
        "speed": speeds_by_model(team).get(found.pk),
        "usable": entry.ready and found.kind in (LanguageModel.Kind.LOCAL, LanguageModel.Kind.TRAINED),
        "version": version,
        "price": shown_price(found) if found.provider else None,
        "hour_price": None if found.provider else hour_price(found),
    }
    if context["usable"]:
        context |= _commands(request, found) | {"downloads": offered_downloads(found)}
    context |= _facts(found, version)
    return render_page(request, "providers/model.html", context, parts=("progress",))


def _commands(request: HttpRequest, found: LanguageModel) -> dict[str, Any]:
    """How to call it from elsewhere: by its own name, and by an alias, which the next version may have."""
    messages, address = _example_messages(found), request.build_absolute_uri("/v1/chat/completions")
    aliases = callable_names(found.team_id).get(found.pk, [])
    # The first of those that the page offers is the one that programs call.
    alias = next((name for name in aliases if name.rpartition("/")[2] == SUGGESTED[0]), aliases[0] if aliases else "")
    return {
        "curl": curl_command(found, messages),
        "gateway_curl": gateway_command(address, found.served_name, messages),
        "alias": alias,
        "alias_curl": gateway_command(address, alias, messages) if alias else "",
    }


def _facts(found: LanguageModel, version: ModelVersion | None) -> dict[str, Any]:
    context: dict[str, Any] = {
        "files": selectors.model_files(found),
        "uses": reading.uses(found),
        "use_columns": [{"label": _("What")}, {"label": _("How")}],
        "left_out": found.facts.get("left_out") or [],
        "proof": found.facts.get("proof"),
    }
    if version is None:
        source = found.facts.get("source")
        return context | {"source": setting_lines(source) if isinstance(source, dict) else []}
    certificate = reading.certificate_of(version)
    return context | {
        "aliases": reading.alias_lines(version),
        "alias_events": reading.alias_events(version),
        "suggested": [name for name in SUGGESTED if name not in version.aliases],
        "certificate": certificate,
        "certificate_columns": _certificate_columns(certificate) if certificate else [],
        "training_cost": _training_cost(version),
        "configuration": setting_lines(version.run.spec),
        "libraries": reading.library_versions(version.run),
    }


def _training_cost(version: ModelVersion) -> dict[str, Any] | None:
    """What the seconds of the training cost at the price that holds now; None without a price or seconds."""
    phases = version.lineage.get("phase_seconds") or {}
    seconds = sum(phases.values()) or version.lineage.get("seconds")
    base = version.run.base_model
    if not seconds:
        return None
    try:
        price = price_for(version.team_id, kind=base.kind, served_name=base.served_name)
    except UnknownPrice:
        return None
    cost = compute_cost_nanousd(seconds, price.nanousd_per_hour or 0)
    return {"nanousd": cost, "assumed": price.assumed, "seconds": seconds}


def _certificate_columns(certificate: reading.Certificate) -> list[dict[str, Any]]:
    unit = _("nats")
    tip = _("Sum of the natural log-probabilities of the answer's tokens and the stop token.")
    forms = [{"label": name, "unit": unit, "numeric": True, "help": tip} for name in certificate.forms]
    largest = _("The largest difference of any one token's log-probability between two forms.")
    return [
        {"label": _("Example")},
        {"label": _("Trained tokens"), "numeric": True},
        *forms,
        {"label": _("Largest difference"), "unit": unit, "numeric": True, "help": largest},
    ]


def _example_messages(found: LanguageModel) -> list[Message]:
    """The prompt that it was trained with around a text to be replaced, else that text alone."""
    text = "Write your text here."
    prompt = trained_prompt(found)
    if prompt is None:
        return [Message("user", text)]
    spec = prompt_spec(prompt)
    return list(render_messages(spec, text, dict.fromkeys(variables_of(spec) - {"input"}, "")))


@require_safe
@team_page("view")
def model_overlap(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Whether the model has seen test rows of this team: a part of its page, and a page of its own."""
    found = selectors.language_model(user=request.user, team=team, uid=uid)
    context = {
        "model": found,
        "crumbs": [
            {"label": _("Models"), "url": reverse("models", args=[team.slug])},
            {"label": found.name, "url": reverse("model", args=[team.slug, found.uid])},
        ],
        "overlaps": reading.overlaps(found),
        "columns": [
            {"label": _("Test set")},
            {"label": _("Test rows"), "numeric": True},
            {"label": _("Of them in the training data"), "numeric": True},
        ],
    }
    return render_page(request, "providers/model_overlap.html", context, parts=("panel",))
