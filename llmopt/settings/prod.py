"""Several machines behind TLS. Refuses to start without the settings that must not be guessed."""

from django.core.exceptions import ImproperlyConfigured

from llmopt.settings.base import *  # noqa: F403
from llmopt.settings.base import ENCRYPTION_KEYS, HOLDS_PROVIDER_SECRETS, SECRET_KEY

if not SECRET_KEY:
    raise ImproperlyConfigured("Set LLMOPT_SECRET_KEY: without it sessions cannot be signed.")
if HOLDS_PROVIDER_SECRETS and not ENCRYPTION_KEYS:
    raise ImproperlyConfigured("Set LLMOPT_ENCRYPTION_KEYS: without a key the keys of providers cannot be stored.")

EMBEDDED = False
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_SSL_REDIRECT = True
SECURE_HSTS_SECONDS = 31_536_000
# The scheme behind a proxy comes from uvicorn, which believes LLMOPT_TRUSTED_PROXIES alone.
