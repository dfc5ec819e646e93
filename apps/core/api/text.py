"""Answers of the REST API that are text for people and not JSON."""

from typing import Any

from rest_framework.renderers import BaseRenderer, JSONRenderer


class MarkdownRenderer(BaseRenderer):
    media_type = "text/markdown"
    format = "md"
    charset = "utf-8"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        response = (renderer_context or {}).get("response")
        if response is not None and response.exception:
            # A refusal is a problem document here as everywhere.
            return bytes(JSONRenderer().render(data))
        return str(data).encode()
