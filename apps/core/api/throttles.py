"""How often the REST API may be called. A refusal is 429 with the seconds to wait in `Retry-After`."""

from abc import ABC, abstractmethod
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from apps.core import rates


class _Counted(BaseThrottle, ABC):
    waiting = 0

    def allow_request(self, request: Request, view: Any) -> bool:
        name, limit = self.whose(request)
        self.waiting = rates.admit(name, limit=limit)
        return not self.waiting

    def wait(self) -> float:
        return float(self.waiting)

    @abstractmethod
    def whose(self, request: Request) -> tuple[str, int]:
        """What is counted, and how often it may happen in a minute."""


class PerCaller(_Counted):
    """Each API key by itself, and each person in all their sessions and programs."""

    def whose(self, request: Request) -> tuple[str, int]:
        if not request.user.is_authenticated:
            return "", 0
        key = request.user.through_key
        caller = f"key:{key.uid}" if key is not None else f"person:{request.user.uid}"
        return f"api:{caller}", settings.API_REQUESTS_PER_MINUTE


class SignInPerAddress(_Counted):
    """Each address that sends passwords or refresh tokens, whether they are right or not."""

    def whose(self, request: Request) -> tuple[str, int]:
        address = rates.network_of(request.META.get("REMOTE_ADDR", ""))
        return f"sign-in:{address}", settings.SIGN_IN_TRIES_PER_MINUTE
