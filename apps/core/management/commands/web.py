"""Serve the product over HTTP."""

from typing import Any

from django.core.management.base import CommandParser
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from apps.core.management.base import TranslatedCommand
from apps.core.processes.environment import restart_with


class Command(TranslatedCommand):
    help = gettext_noop("Serve pages, API, live events and static files with uvicorn.")
    requires_system_checks: list[str] = []  # noqa: RUF012  # Django's own declaration; the first request finds the rest

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--reload", action="store_true", help=_("Start again when a source file changes."))

    def handle(self, *args: Any, host: str, port: int, reload: bool, **options: Any) -> None:
        restart_with(LLMOPT_ROLE="web")
        # By name: the edge stack sits above every app, and no app may depend on it.
        import_string("llmopt.edge.server.serve")(host=host, port=port, reload=reload)
