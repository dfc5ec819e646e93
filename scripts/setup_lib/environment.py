"""The virtual environment .venv: created, filled with the pinned packages, stamped so that a second start skips pip."""

import json
import subprocess
import sys
import time
from pathlib import Path

from .console import Phase, say
from .dependencies import GROUPS, ROOT, dependency_hash, direct_requirements, pinned, pins
from .errors import SetupError
from .pip_runner import PipRun, Progress, run_pip
from .torch_build import prepare_torch, unavailable_text

VENV = ROOT / ".venv"
# Newer than what Python 3.11 bundles: shows the bytes of a download and resumes one that broke off.
PIP = "pip==26.3"
SECONDS_BEFORE_RETRY = 5.0
MINOR_VERSION = "3.11"


def venv_python(venv: Path = VENV) -> Path:
    return venv / "bin" / "python"


def site_packages(venv: Path = VENV) -> Path:
    return venv / "lib" / f"python{MINOR_VERSION}" / "site-packages"


def python_version() -> str:
    return ".".join(str(part) for part in sys.version_info[:3])


def stamp_path(venv: Path = VENV) -> Path:
    return venv / ".llmopt-installed.json"


def expected_stamp(*, group: str, venv: Path = VENV, root: Path = ROOT) -> dict[str, str]:
    """What the stamp says once a group is installed. The place is in it because the scripts in .venv/bin name it."""
    return {
        "dependencies": dependency_hash(group=group, root=root),
        "python": MINOR_VERSION,
        "place": str(venv),
    }


def read_stamps(venv: Path = VENV) -> dict[str, dict[str, str]]:
    """Group → stamp. A missing or damaged file counts as nothing installed."""
    try:
        found = json.loads(stamp_path(venv).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_installed(*, group: str, venv: Path = VENV, root: Path = ROOT) -> bool:
    """Whether a group, or a larger one that contains it, is installed as the files in the repository ask."""
    stamps = read_stamps(venv)
    larger = [name for name, extras in GROUPS.items() if set(GROUPS[group]) <= set(extras)]
    matches = any(stamps.get(name) == expected_stamp(group=name, venv=venv, root=root) for name in larger)
    return matches and environment_works(venv)


def environment_works(venv: Path = VENV) -> bool:
    """Whether the environment's Python starts and is a 3.11. Which patch release it is does not matter."""
    code = "import sys; print('.'.join(map(str, sys.version_info[:2])))"
    try:
        done = subprocess.run(
            [str(venv_python(venv)), "-c", code], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == MINOR_VERSION


def write_stamp(*, group: str, venv: Path = VENV, root: Path = ROOT) -> None:
    contained = [name for name, extras in GROUPS.items() if set(extras) <= set(GROUPS[group])]
    stamps = {**read_stamps(venv), **{name: expected_stamp(group=name, venv=venv, root=root) for name in contained}}
    partial = stamp_path(venv).with_suffix(".partial")
    partial.write_text(json.dumps(stamps, indent=1), encoding="utf-8")
    partial.replace(stamp_path(venv))


def moved(venv: Path = VENV) -> bool:
    """Whether the environment was made at another place: its scripts would start the wrong Python."""
    return any(stamp.get("place") not in {None, str(venv)} for stamp in read_stamps(venv).values())


def create_environment(*, log: Path, venv: Path = VENV) -> None:
    """Create .venv, or recreate one that does not start or was moved, and bring pip to the pinned version."""
    phase = Phase("Environment")
    if not environment_works(venv) or moved(venv):
        done = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(venv)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            phase.close("failed")
            said = (done.stderr or done.stdout).strip()
            raise SetupError(
                f".venv could not be created:\n{said}\nOn Debian and Ubuntu: sudo apt-get install python3.11-venv"
            )
    if not (site_packages(venv) / f"pip-{PIP.partition('==')[2]}.dist-info").exists():
        run = run_pip(["install", "--retries", "2", PIP], python=venv_python(venv), log=log)
        if run.status:
            phase.close("failed")
            raise SetupError(unavailable_text(unreachable=run.unreachable, errors=run.errors(), log=log))
    phase.close()


def package_count(*, group: str) -> int:
    """How many packages the exported requirements name for a group: the length of the progress bar."""
    names = set(pins(ROOT / "requirements.txt"))
    if "dev" in GROUPS[group]:
        names |= set(pins(ROOT / "requirements-dev.txt"))
    return len(names)


def pip_install(*, group: str, log: Path, venv: Path = VENV) -> PipRun:
    progress = Progress(name="Download", total=package_count(group=group), site_packages=site_packages(venv))
    arguments = [
        "install",
        "--progress-bar",
        "raw",
        "-c",
        str(ROOT / "constraints.txt"),
        *direct_requirements(group=group),
    ]
    run = run_pip(arguments, python=venv_python(venv), log=log, progress=progress)
    progress.close(ok=run.status == 0)
    return run


def installed_count(venv: Path = VENV) -> int:
    """How many packages an earlier set-up left, beyond what every environment starts with."""
    count = sum(1 for _ in site_packages(venv).glob("*.dist-info"))
    return count if count > 2 else 0


def is_stamped(venv: Path = VENV) -> bool:
    """Whether an earlier set-up was finished at this place, with whatever was asked for then."""
    return any(stamp.get("place") == str(venv) for stamp in read_stamps(venv).values()) and environment_works(venv)


def can_be_completed(venv: Path = VENV) -> bool:
    """Whether there are packages that a set-up keeps: an environment that does not start or was moved is made anew."""
    return installed_count(venv) > 0 and not moved(venv) and environment_works(venv)


def torch_is_installed(venv: Path = VENV) -> bool:
    wanted = pinned("torch").partition("==")[2]
    return any(site_packages(venv).glob(f"torch-{wanted}*.dist-info"))


def install(*, group: str, log: Path, venv: Path = VENV) -> None:
    """Bring the environment to what pyproject.toml and constraints.txt ask. SetupError after a second failure."""
    create_environment(log=log, venv=venv)
    prepare_torch(python=venv_python(venv), log=log, installed=torch_is_installed(venv))
    run = pip_install(group=group, log=log, venv=venv)
    if run.status:
        say(f"  pip stopped; it is tried once more in {SECONDS_BEFORE_RETRY:.0f} seconds.")
        time.sleep(SECONDS_BEFORE_RETRY)
        run = pip_install(group=group, log=log, venv=venv)
    if run.status:
        raise SetupError(unavailable_text(unreachable=run.unreachable, errors=run.errors(), log=log))
    write_stamp(group=group, venv=venv)
