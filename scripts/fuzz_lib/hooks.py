"""Headers of requests that are meant to be taken: made up, they would only ever be refused."""

import os
import uuid
from typing import Any

import schemathesis

TEAM = "FUZZ_TEAM"


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if case.meta is not None and case.meta.generation.mode.is_negative:
        return
    headers = case.headers or {}
    if "Idempotency-Key" in headers:
        # The same few keys with ever other bodies would be answered 409 before anything else is looked at.
        headers["Idempotency-Key"] = uuid.uuid4().hex
    if "LLMOpt-Team" in headers:
        headers["LLMOpt-Team"] = os.environ[TEAM]
