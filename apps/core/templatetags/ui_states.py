"""What each state is called, how serious it is and which icon goes with it: the one table behind badges and stages."""

from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class StateLook(NamedTuple):
    """Tone is one of neutral, accent, good, warning, bad; the icon is a lucide name."""

    label: str | Promise
    tone: str
    icon: str


STATES: dict[str, StateLook] = {
    "draft": StateLook(_("Draft"), "neutral", "pencil"),
    "planned": StateLook(_("Planned"), "neutral", "circle-dashed"),
    "waiting": StateLook(_("Waiting"), "neutral", "clock"),
    "queued": StateLook(_("Waiting"), "neutral", "clock"),
    "starting": StateLook(_("Starting"), "accent", "loader-circle"),
    "running": StateLook(_("Running"), "accent", "loader-circle"),
    "pausing": StateLook(_("Pausing"), "warning", "pause"),
    "paused": StateLook(_("Paused"), "warning", "pause"),
    "cancelling": StateLook(_("Cancelling"), "warning", "ban"),
    "cancelled": StateLook(_("Cancelled"), "neutral", "ban"),
    "succeeded": StateLook(_("Finished"), "good", "circle-check"),
    "finished": StateLook(_("Finished"), "good", "circle-check"),
    "ready": StateLook(_("Ready"), "good", "circle-check"),
    "failed": StateLook(_("Failed"), "bad", "circle-x"),
    "retired": StateLook(_("Retired"), "neutral", "archive"),
    "unkeyed": StateLook(_("Needs a provider key"), "warning", "key-round"),
    "untested": StateLook(_("Not tested yet"), "neutral", "circle-dashed"),
    "working": StateLook(_("Working"), "good", "circle-check"),
    "failing": StateLook(_("Failing"), "bad", "circle-x"),
    "revoked": StateLook(_("Revoked"), "neutral", "ban"),
    "active": StateLook(_("Active"), "good", "circle-check"),
    "expired": StateLook(_("Expired"), "warning", "clock"),
    "skipped": StateLook(_("Skipped"), "neutral", "skip-forward"),
    "pending": StateLook(_("Pending"), "neutral", "clock"),
    "sent": StateLook(_("Sent"), "good", "circle-check"),
    "not_sent": StateLook(_("Not sent"), "warning", "ban"),
    "unknown": StateLook(_("Unknown"), "warning", "circle-question-mark"),
    "valid": StateLook(_("Valid"), "good", "check"),
    "invalid": StateLook(_("Invalid"), "bad", "x"),
    "unscored": StateLook(_("Unscored"), "warning", "circle-question-mark"),
    "locked": StateLook(_("Locked"), "neutral", "lock"),
    "assumed": StateLook(_("Assumed"), "warning", "triangle-alert"),
    "recommended": StateLook(_("Recommended"), "accent", "star"),
    "reference": StateLook(pgettext_lazy("the candidate that others are compared with", "Reference"), "neutral", "pin"),
    "baseline": StateLook(_("Baseline"), "neutral", ""),
    "prompted": StateLook(_("Prompted"), "neutral", ""),
    "tuned": StateLook(_("Tuned"), "neutral", ""),
    "commercial": StateLook(_("Commercial"), "neutral", ""),
}


def state_look(state: object) -> StateLook:
    """The look of a state; one that the table lacks is shown under its own name, plainly."""
    key = str(getattr(state, "value", state) or "unknown").lower()
    if key in STATES:
        return STATES[key]
    return StateLook(key.replace("_", " ").capitalize(), "neutral", "")
