"""Keys that a machine makes for itself once, so that an embedded start needs no configuration."""

import base64
import os
import secrets
import tempfile
from pathlib import Path


def persistent_secret_key(var_dir: Path) -> str:
    """Read `var_dir`/secret_key, creating it on first use. Two processes that start at once agree on one key."""
    return _kept(var_dir / "secret_key", secrets.token_urlsafe(48))


def persistent_encryption_keys(var_dir: Path) -> list[str]:
    """Read `var_dir`/encryption_keys, one key a line and the newest first, creating it with one key on first use."""
    made = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return _kept(var_dir / "encryption_keys", made).split()


def _kept(path: Path, made: str) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Readable by its owner alone, from its first moment.
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
        own = Path(name)
        with os.fdopen(descriptor, "w") as file:
            file.write(made)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(own, path)
        except FileExistsError:
            pass  # another process was first; its key is the one to use
        finally:
            own.unlink()
    return path.read_text().strip()
