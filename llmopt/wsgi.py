"""WSGI entry point, for tools that want one; the product is served by llmopt.asgi."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmopt.settings.prod")
application = get_wsgi_application()
