"""A signing key that a machine makes for itself once, so that an embedded start needs no configuration."""

import os
import secrets
from pathlib import Path


def persistent_secret_key(var_dir: Path) -> str:
    """Read `var_dir`/secret_key, creating it on first use. Two processes that start at once agree on one key."""
    path = var_dir / "secret_key"
    if not path.exists():
        var_dir.mkdir(parents=True, exist_ok=True)
        own = path.with_name(f"secret_key.{os.getpid()}")
        descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(own, path)
        except FileExistsError:
            pass  # another process was first; its key is the one to use
        finally:
            own.unlink()
    return path.read_text().strip()
