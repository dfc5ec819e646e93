"""`Idempotency-Key` for writes of the REST API."""

import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.idempotency import Answer, answer_once

View = Callable[..., Response]


def once(view: View) -> View:
    """Below `api_view`: a write whose body is JSON is done once for each key."""

    @wraps(view)
    def wrapped(request: Request, *args: Any, **kwargs: Any) -> Response:
        if request.method in ("GET", "HEAD", "OPTIONS"):
            return view(request, *args, **kwargs)
        body = json.dumps(request.data, sort_keys=True)
        return done_once(request, body, lambda: view(request, *args, **kwargs))

    return wrapped


def done_once(request: Request, body: str, make: Callable[[], Response]) -> Response:
    """The response of `make`, or the one that the same key, team, path and `body` got before."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return make()
    # The team that was named is a part of what was asked: an API key has its own, and may name a wrong one.
    asked = (str(request.method), request.get_full_path(), body, repr(request.headers.get("LLMOpt-Team")))
    fingerprint = hashlib.sha256("\0".join(asked).encode()).hexdigest()
    answer = answer_once(
        actor=request.user,
        team=_team_of(request),
        key=key,
        fingerprint=fingerprint,
        make=lambda: _answer(make()),
    )
    headers = {"Location": answer.location} if answer.location else {}
    if answer.repeated:
        headers["Idempotency-Replayed"] = "true"
    return Response(json.loads(answer.body), status=answer.status, headers=headers)


def _team_of(request: Request) -> str:
    """The team that the caller named, or that the API key is of: a person may have keys of several teams."""
    key = getattr(request.user, "through_key", None)
    return key.team_slug if key is not None else request.headers.get("LLMOpt-Team", "")[:100]


def _answer(response: Response) -> Answer:
    text = JSONRenderer().render(response.data).decode() or "null"
    return Answer(status=response.status_code, body=text, location=response.headers.get("Location", ""))
