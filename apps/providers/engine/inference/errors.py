"""Refusals in the shape of OpenAI's error body."""

from __future__ import annotations


class ApiError(Exception):
    """A request that cannot be served, with the HTTP status and the stable ``code`` that the client reads.

    ``param`` names the offending field of the request. ``retry_after`` is in seconds.
    """

    def __init__(
        self, status: int, code: str, message: str, *, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after

    def body(self) -> dict[str, object]:
        """The JSON body: ``{"error": {message, type, param, code}}``."""
        return {
            "error": {"message": self.message, "type": error_type(self.status), "param": self.param, "code": self.code}
        }

    def headers(self) -> dict[str, str]:
        """The headers that go with it."""
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return headers


def error_type(status: int) -> str:
    """OpenAI's family name of an HTTP status."""
    if status == 401:
        return "authentication_error"
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"


def invalid(message: str, *, param: str, code: str = "invalid_value") -> ApiError:
    """A 400 about one field."""
    return ApiError(400, code, message, param=param)
