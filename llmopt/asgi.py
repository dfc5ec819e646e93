"""ASGI entry point: the edge stack with Django behind it."""

import gc
import os
from typing import Any

# manage.py names its own settings first; whoever starts this file without any gets the strict ones.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmopt.settings.prod")

from django.core.asgi import get_asgi_application  # noqa: E402  # the settings module must be named first

# Any ASGI application has these shapes; Django names its own, narrower ones.
django_application: Any = get_asgi_application()

# Here, so that the first page of rows does not wait a quarter of a second for it.
import pyarrow.compute  # noqa: E402
import pyarrow.parquet  # noqa: E402, F401

from llmopt.edge.stack import build  # noqa: E402  # it imports models, so Django must be set up

application = build(django_application)

# What is loaded by now stays: no request should wait while the collector looks through all of it again.
gc.collect()
gc.freeze()
