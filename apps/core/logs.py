"""One JSON object per log line, so that a machine can read what a person can still grep."""

import json
import logging
import re
from datetime import UTC, datetime

# After these a path goes on with a secret that signs somebody in. The access log leaves it out by itself; Django's own
# lines about a refused or failed request would show it.
_SECRET_IN_PATH = re.compile(r"/(sign-in|rate)/[A-Za-z0-9_=/-]+")
# API keys and tokens, after the beginning that says which. They belong into a header, which nothing logs; whoever puts
# one into an address would find it in Django's lines.
_BEARER = re.compile(r"(llmopt_[0-9A-Za-z]{8}_|eyJ[\w-]{8,}\.)[\w.-]+")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _STANDARD},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = _SECRET_IN_PATH.sub(r"/\1/…", json.dumps(line, default=str, ensure_ascii=False))
        return _BEARER.sub(r"\1…", text)
