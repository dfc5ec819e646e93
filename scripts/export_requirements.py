"""Write requirements.txt and requirements-dev.txt: every package that the install resolves to, pinned.

`make requirements` resolves with pip. `--check` needs no network: it compares the recorded hash of what the files were
made from, and each pin with constraints.txt.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.setup_lib.dependencies import (  # noqa: E402 - the repository root must be on the path first
    dependency_hash,
    direct_requirements,
    normalised,
    pins,
    requirement_name,
)

FILES = {"run": "requirements.txt", "dev": "requirements-dev.txt"}
RECORDED = re.compile(r"^# made from: ([0-9a-f]{64})$", re.MULTILINE)
# Installed with every environment, or only with the CUDA build of torch: not ours to pin.
LEFT_OUT = re.compile(r"^(pip|nvidia-.*|cuda-.*|triton)$")


def resolve(*, group: str) -> dict[str, str]:
    """Package → version as pip resolves them for a group on this machine. Raises CalledProcessError."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), "-c", str(ROOT / "constraints.txt"), *direct_requirements(group=group)]
        subprocess.run(command, check=True)
        listed = json.loads(report.read_text(encoding="utf-8"))["install"]
    found = {item["metadata"]["name"]: item["metadata"]["version"].partition("+")[0] for item in listed}
    return {name: version for name, version in found.items() if not LEFT_OUT.match(normalised(name))}


def render(*, group: str, packages: dict[str, str], root: Path = ROOT) -> str:
    """The text of a requirements file."""
    lines = [
        "# Made by `make requirements` from pyproject.toml and constraints.txt; do not edit.",
        f"# made from: {dependency_hash(group=group, root=root)}",
    ]
    if group == "dev":
        lines.append("-r requirements.txt")
    lines += [f"{name}=={version}" for name, version in sorted(packages.items(), key=lambda item: normalised(item[0]))]
    return "\n".join(lines) + "\n"


def problems(*, group: str, root: Path = ROOT) -> list[str]:
    """What is wrong with a committed requirements file, in sentences."""
    path = root / FILES[group]
    if not path.exists():
        return [f"{path.name} is missing: run `make requirements`."]
    recorded = RECORDED.search(path.read_text(encoding="utf-8"))
    found = []
    if recorded is None or recorded.group(1) != dependency_hash(group=group, root=root):
        found.append(f"{path.name} is older than pyproject.toml or constraints.txt: run `make requirements`.")
    allowed = pins(root / "constraints.txt")
    listed = pins(path)
    for name, version in listed.items():
        if allowed.get(name) != version:
            found.append(
                f"{path.name}: {name}=={version}, but constraints.txt has {allowed.get(name, 'no such package')}."
            )
    everything = listed | (pins(root / FILES["run"]) if group == "dev" else {})
    for requirement in direct_requirements(group=group, root=root):
        if requirement_name(requirement) not in everything:
            found.append(f"{path.name} lacks {requirement_name(requirement)}: run `make requirements`.")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a file is not current")
    options = parser.parse_args()
    if options.check:
        found = problems(group="run") + problems(group="dev")
        print("\n".join(found) or "requirements.txt and requirements-dev.txt are current.")
        return 1 if found else 0
    run_packages = resolve(group="run")
    dev_packages = {name: version for name, version in resolve(group="dev").items() if name not in run_packages}
    for group, packages in (("run", run_packages), ("dev", dev_packages)):
        (ROOT / FILES[group]).write_text(render(group=group, packages=packages), encoding="utf-8")
        print(f"{FILES[group]}: {len(packages)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
