"""What a process gets that is started without saying which settings it wants."""

import os
import subprocess
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from apps.core.tests.installation import python

SHOWN = "from django.conf import settings as s; print(s.EMBEDDED, s.SESSION_COOKIE_SECURE, s.SECURE_SSL_REDIRECT)"


def started(module: str, tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    environment |= {"LLMOPT_VAR_DIR": str(tmp_path), "LLMOPT_SECRET_KEY": "", "LLMOPT_ENCRYPTION_KEYS": "", **more}
    return python(f"import {module}; {SHOWN}", environment)


@pytest.mark.parametrize("module", ["llmopt.asgi", "llmopt.wsgi"])
def test_a_server_started_by_hand_has_the_strict_settings(module: str, tmp_path: Path) -> None:
    both = {"LLMOPT_SECRET_KEY": "x" * 50, "LLMOPT_ENCRYPTION_KEYS": Fernet.generate_key().decode()}
    assert started(module, tmp_path, **both).stdout.strip() == "False True True"
    for name in both:
        assert f"Set {name}" in started(module, tmp_path, **{**both, name: ""}).stderr


def test_the_pool_of_a_web_process_has_a_connection_for_every_page(tmp_path: Path) -> None:
    program = "import django; from django.conf import settings; print(settings.DATABASES['default']['OPTIONS']['pool'])"
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "llmopt.settings.dev",
        "LLMOPT_VAR_DIR": str(tmp_path),
        "LLMOPT_ROLE": "web",
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
        "LLMOPT_PAGES_AT_ONCE": "50",
    }
    assert "'max_size': 56" in python(program, environment).stdout
