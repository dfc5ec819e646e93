"""Leaving a form for a model that it lacks, and coming back to it with everything that was chosen."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, QueryDict

from apps.accounts.models import Team
from apps.workspace.selectors.model_choices import choices_of

_NOT_KEPT = ("csrfmiddlewaretoken", "away")


def away_for_a_model(request: HttpRequest, team: Team) -> str:
    """Where the pressed button leads: to what its model needs, which leads back to this form as it was left."""
    left = request.POST.copy()
    wanted = left["away"]
    for name in _NOT_KEPT:
        left.pop(name, None)
    back = f"{request.path}?{left.urlencode()}"
    for choice in choices_of(user=request.user, team=team):
        if choice.fix is not None and choice.value == wanted:
            return f"{choice.fix.url}?{urlencode({'next': back})}"
    return back


def kept_choices(data: QueryDict, form: type[forms.Form]) -> dict[str, Any]:
    """First values of a form out of its own address; empty for an address that says nothing."""
    kept: dict[str, Any] = {}
    for name, field in form.base_fields.items():
        if isinstance(field, forms.MultipleChoiceField):
            kept[name] = data.getlist(name)
        elif isinstance(field, forms.BooleanField):
            kept[name] = name in data
        elif name in data:
            kept[name] = data[name]
    return kept if data else {}
