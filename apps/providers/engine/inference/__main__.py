"""``python -m apps.providers.engine.inference --models DIR [--host 127.0.0.1] [--port 8710] …``"""

from __future__ import annotations

import sys

from apps.providers.engine.inference.server import serve
from apps.providers.engine.inference.settings import read_settings

if __name__ == "__main__":
    serve(read_settings(sys.argv[1:]))
