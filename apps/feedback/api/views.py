"""Feedback by REST: said by people and programs, read, and withdrawn."""

from typing import Any
from uuid import UUID

from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api.teams import scope, team_for
from apps.core.api.once import once
from apps.core.api.paging import page
from apps.core.api.schema import documented
from apps.core.scopes import KeyScope
from apps.feedback import selectors
from apps.feedback.api.serializers import (
    THUMBS,
    FeedbackFilterSerializer,
    FeedbackGiveSerializer,
    FeedbackSerializer,
)
from apps.feedback.models import Feedback
from apps.feedback.services import SCALE, feedback_give, feedback_withdraw
from apps.providers.selectors import language_model

TAG = "feedback"


@documented(
    "feedback",
    says="What was said of the team's generations, newest first.",
    method="GET",
    answer=FeedbackSerializer,
    paged=True,
    refusals=[404],
    query=FeedbackFilterSerializer,
    tag=TAG,
)
@documented(
    "feedback_give",
    says=(
        "Rate a generation, put a thumb up or down, or choose between two. Each key, or person without one, has one of "
        "each kind for a generation or pair: said again, it takes the place of what was said before."
    ),
    method="POST",
    answer=FeedbackSerializer,
    status=201,
    request=FeedbackGiveSerializer,
    refusals=[404],
    # Whoever may ask for an answer may say what became of it.
    scope=(KeyScope.GENERATE, KeyScope.WRITE),
    tag=TAG,
)
@api_view(["GET", "POST"])
@once
def feedback(request: Request) -> Response:
    """What was said of the team's generations, newest first; or something said of one."""
    if request.method != "POST":
        return _listed(request)
    team = team_for(request, "rate")
    given = FeedbackGiveSerializer(data=request.data)
    given.is_valid(raise_exception=True)
    values: dict[str, Any] = given.validated_data
    named = {
        name: selectors.generation(user=request.user, team=team, uid=values[name], action="rate")
        for name in ("generation", "other", "preferred")
        if values.get(name) is not None
    }
    scale = values.get("scale")
    said = feedback_give(
        actor=request.user,
        kind=_kind(values),
        rating=values.get("rating"),
        scale=(scale["low"], scale["high"]) if scale else SCALE,
        thumb_up=THUMBS.get(values.get("thumb", "")),
        comment=values["comment"],
        **named,
    )
    return Response(FeedbackSerializer(said).data, status=201)


@documented(
    "feedback_withdraw",
    says=(
        "Take back what was said: it is listed no more, and the audit trail keeps it. By who gave it: the person, also "
        "for their keys, or the key itself. Or by an admin who is signed in."
    ),
    method="DELETE",
    answer=None,
    status=204,
    refusals=[404],
    scope=(KeyScope.GENERATE, KeyScope.WRITE),
    tag=TAG,
)
@api_view(["DELETE"])
@once
def feedback_said(request: Request, uid: UUID) -> Response:
    """The end of what somebody said."""
    found = selectors.feedback_said(user=request.user, uid=uid, **scope(request))
    feedback_withdraw(actor=request.user, feedback=found)
    return Response(status=204)


def _kind(values: dict[str, Any]) -> str:
    if "other" in values:
        return Feedback.Kind.CHOICE
    return Feedback.Kind.RATING if "rating" in values else Feedback.Kind.THUMB


def _listed(request: Request) -> Response:
    team = team_for(request)
    wanted = FeedbackFilterSerializer.asked(request)
    model = wanted.get("model")
    found = selectors.feedback(
        user=request.user,
        team=team,
        entry=selectors.generation(user=request.user, team=team, uid=wanted["generation"])
        if "generation" in wanted
        else None,
        model=language_model(user=request.user, team=team, uid=model) if model is not None else None,
        first=wanted.get("first"),
        last=wanted.get("last"),
    )
    return page(request, found, FeedbackSerializer)
