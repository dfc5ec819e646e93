"""Bodies in JSON that every later step can hold: no deeper than sense, and without a number that is none."""

import math
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from apps.core.nesting import MOST_LEVELS, levels


class BoundedJSONParser(JSONParser):
    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            value = super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise _too_deep() from None
        for number, level in enumerate(levels(value)):
            if number >= MOST_LEVELS:
                raise _too_deep()
            if any(isinstance(each, float) and not math.isfinite(each) for each in level):
                # 1e999 is well-formed JSON, and infinity to every reader of it.
                raise ParseError(_("The request holds a number that is too large."))
        return value


def _too_deep() -> ParseError:
    return ParseError(_("The request is nested more than %(most)s levels deep.") % {"most": MOST_LEVELS})
