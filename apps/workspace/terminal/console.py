"""Where everything in this folder is printed."""

import sys
from typing import TextIO

from rich.console import Console


def terminal_console(file: TextIO | None = None) -> Console:
    """Wide where there is no terminal. No markup: a name or an error may hold [square brackets], and they are shown."""
    stream = file or sys.stdout
    return Console(file=file, width=None if stream.isatty() else 160, markup=False)
