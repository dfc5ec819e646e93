"""Trying a model: a part of its page, and a page of its own."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from apps.accounts.models import Team
from apps.accounts.pages import team_page
from apps.billing.forms import TryForm
from apps.billing.selectors import price_is_assumed, trained_prompt
from apps.billing.trying import model_answer
from apps.core.errors import ApplicationError
from apps.core.pages import render_page
from apps.experiments.engine.prompts import variables_of
from apps.experiments.selectors import prompt_spec
from apps.providers import selectors


@require_http_methods(["GET", "HEAD", "POST"])
@team_page("edit")
def model_try(request: HttpRequest, team: Team, uid: str) -> HttpResponse:
    """Send typed text to a model; each press is one metered call."""
    model = selectors.language_model(user=request.user, team=team, uid=uid)
    prompt = trained_prompt(model)
    columns = sorted(variables_of(prompt_spec(prompt)) - {"input"}) if prompt is not None else []
    form = TryForm(request.POST or None, columns=columns, has_prompt=prompt is not None)
    result, failure, full = None, "", False
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            result = model_answer(
                actor=request.user,
                model=model,
                prompt=prompt if given.get("with_prompt") else None,
                text=given["text"],
                columns=form.columns(),
                max_tokens=given["max_tokens"] or 96,
            )
        except ApplicationError as error:
            if error.status == 403:
                raise
            failure, full = error.message, error.code == "budget_exceeded"
    context: dict[str, Any] = {
        "model": model,
        "prompt": prompt,
        "form": form,
        "result": result,
        "assumed": result is not None and price_is_assumed(model),
        "failure": failure,
        "full": full,
        "crumbs": [
            {"label": _("Models"), "url": reverse("models", args=[team.slug])},
            {"label": model.name, "url": reverse("model", args=[team.slug, model.uid])},
        ],
    }
    refused = request.method == "POST" and not form.is_valid()
    return render_page(request, "providers/model_try.html", context, parts=("panel",), status=422 if refused else 200)
