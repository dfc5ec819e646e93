"""Tests: PostgreSQL by DATABASE_URL (the test command starts one), else SQLite."""

import os
import tempfile
from pathlib import Path

if "LLMOPT_VAR_DIR" not in os.environ:
    os.environ["LLMOPT_VAR_DIR"] = tempfile.mkdtemp(prefix="llmopt-test-")
os.environ.setdefault("LLMOPT_SECRET_KEY", "tests-only-key-that-signs-nothing-of-value")
os.environ.setdefault("LLMOPT_ENCRYPTION_KEYS", "dGVzdHMtb25seS1rZXktdGhhdC1lbmNyeXB0cy1ub24=")
# A key of the person who runs the tests must not change what pages show, nor be used.
for _name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
    os.environ[_name] = ""
# Nor must mail leave, or a link name their machine.
# Nor their Redis be written to: the tests that need one start it.
for _name in ("LLMOPT_EMAIL_URL", "LLMOPT_PUBLIC_URL", "LLMOPT_WEBHOOK_HOSTS", "REDIS_URL"):
    os.environ[_name] = ""
os.environ.setdefault("LLMOPT_ROLE", "worker")  # a connection per thread, no pool: tests open and drop databases

from llmopt.settings.base import *  # noqa: E402, F403
from llmopt.settings.base import ALLOWED_HOSTS, DATABASES, VAR_DIR  # noqa: E402

ALLOWED_HOSTS = [*ALLOWED_HOSTS, "testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
AXES_ENABLED = False
# Tests that are about them set them; all others are one caller from one address.
API_REQUESTS_PER_MINUTE = SIGN_IN_TRIES_PER_MINUTE = 0
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, not memory: threads and processes of one test must see the same database.
    DATABASES["default"]["TEST"] = {"NAME": str(Path(VAR_DIR) / "test.sqlite3")}
