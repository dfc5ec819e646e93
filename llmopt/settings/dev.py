"""One machine, SQLite, no keys: what `make run` starts."""

from llmopt.settings.base import *  # noqa: F403
from llmopt.settings.base import ENCRYPTION_KEYS as CONFIGURED_ENCRYPTION_KEYS
from llmopt.settings.base import HOLDS_PROVIDER_SECRETS, VAR_DIR
from llmopt.settings.base import SECRET_KEY as CONFIGURED_SECRET_KEY
from llmopt.settings.secret import persistent_encryption_keys, persistent_secret_key

SECRET_KEY = CONFIGURED_SECRET_KEY or persistent_secret_key(VAR_DIR)
if HOLDS_PROVIDER_SECRETS:
    ENCRYPTION_KEYS = CONFIGURED_ENCRYPTION_KEYS or persistent_encryption_keys(VAR_DIR)
