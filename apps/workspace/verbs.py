"""Audit events in words."""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

VERBS: dict[str, Promise] = {
    "team.created": gettext_lazy("created the team"),
    "user.created": gettext_lazy("created the account %(email)s"),
    "membership.added": gettext_lazy("added %(email)s to the team"),
    "membership.role_changed": gettext_lazy("changed the role of %(email)s"),
    "membership.removed": gettext_lazy("took %(email)s out of the team"),
    "evaluation.cancelled": gettext_lazy("cancelled an evaluation"),
    "evaluation.paused": gettext_lazy("paused an evaluation"),
    "evaluation.resumed": gettext_lazy("resumed an evaluation"),
    "trainingrun.cancelled": gettext_lazy("cancelled a training run"),
    "trainingrun.paused": gettext_lazy("paused a training run"),
    "trainingrun.resumed": gettext_lazy("resumed a training run"),
    "quickstart.cancelled": gettext_lazy("cancelled the quickstart"),
    "quickstart.paused": gettext_lazy("paused the quickstart"),
    "quickstart.resumed": gettext_lazy("resumed the quickstart"),
}


def activity_text(verb: str, facts: Mapping[str, Any]) -> str:
    """The event as the rest of a sentence after who did it; a verb that the table lacks stands as it was written."""
    if verb not in VERBS:
        return verb.replace(".", ": ").replace("_", " ")
    known = {key: value if value not in (None, "") else _("something") for key, value in facts.items()}
    try:
        return str(VERBS[verb]) % known
    except KeyError:
        return verb.replace(".", ": ").replace("_", " ")
