"""Asking ClamAV about a file over its socket. The file is sent to it, so clamd needs no right to read ours."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from django.conf import settings
from django.utils.translation import gettext as _

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0
State = Literal["clean", "infected", "off", "down"]


@dataclass(frozen=True)
class Scan:
    """`off`: no scanner is configured. `down`: one is, and it gave no verdict; `detail` says what went wrong."""

    state: State
    detail: str = ""

    def as_json(self) -> dict[str, str]:
        return {"state": self.state, "detail": self.detail}


def scan_file(path: Path) -> Scan:
    """ClamAV's verdict on a file. Never raises: a scanner that fails is `down`, and the caller decides."""
    if not settings.CLAMAV_SOCKET:
        return Scan("down", _("none is configured")) if settings.CLAMAV_REQUIRED else Scan("off")
    import clamd

    try:
        scanner = clamd.ClamdUnixSocket(settings.CLAMAV_SOCKET, timeout=TIMEOUT_SECONDS)
        with path.open("rb") as file:
            verdict, found = (scanner.instream(file) or {}).get("stream", ("", ""))
    except (clamd.ClamdError, OSError) as error:
        log.warning("the virus scanner gave no verdict", extra={"socket": settings.CLAMAV_SOCKET, "error": str(error)})
        return Scan("down", str(error)[:300])
    if verdict == "FOUND":
        return Scan("infected", str(found)[:200])
    return Scan("clean") if verdict == "OK" else Scan("down", str(found)[:300])
