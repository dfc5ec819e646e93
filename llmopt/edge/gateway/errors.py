"""Errors in OpenAI's shape, so that clients which know it say what is wrong."""

from typing import Any

from django.utils.translation import gettext as _


class Refusal(Exception):
    """A request that is answered with an error. `param` names the part of the request that is at fault."""

    def __init__(
        self, status: int, code: str, message: str, *, param: str | None = None, retry_after: int = 0, allow: str = ""
    ) -> None:
        super().__init__(message)
        self.allow = allow
        self.status, self.code, self.message = status, code, message
        self.param, self.retry_after = param, retry_after

    @property
    def body(self) -> dict[str, Any]:
        kind = _KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        headers = [(b"www-authenticate", b'Bearer realm="LLMOpt"')] if self.status == 401 else []
        if self.allow:
            headers.append((b"allow", self.allow.encode()))
        # Clients repeat what may succeed later by themselves; what cannot, they must not.
        if self.retry_after:
            headers.append((b"retry-after", str(self.retry_after).encode()))
        elif self.status not in (429, 500, 502, 503, 504):
            headers.append((b"x-should-retry", b"false"))
        return headers


_KINDS = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
}


def invalid(message: str, param: str, code: str = "invalid_value") -> Refusal:
    return Refusal(400, code, message, param=param)


def unsupported(param: str) -> Refusal:
    """A parameter that would change the answer or its price, and that nothing here can carry out."""
    message = _("The parameter %(name)s is not supported here. Leave it out; nothing was sent.") % {"name": param}
    return Refusal(400, "unsupported_parameter", message, param=param)
