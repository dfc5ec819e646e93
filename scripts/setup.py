"""Set LLMOpt up on this machine: check it, install the pinned packages into .venv, fetch the demo assets.

Only the standard library is used. This file keeps to the syntax of Python 3.6, so that an older interpreter can still
say what is missing; everything behind the version check (scripts/setup_lib) is written for Python 3.11.
"""

import glob
import os
import subprocess
import sys

WANTED = (3, 11)
PLATFORM = "linux"
NEEDED_MODULES = "ensurepip, venv, ssl, sqlite3, ctypes, bz2, lzma, tomllib"


def candidates() -> list:
    """Paths at which a Python 3.11 may be, the most likely first."""
    found = []
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found.append(os.path.join(folder, "python3.11"))
    found += ["/usr/bin/python3.11", "/usr/local/bin/python3.11"]
    found += sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.11*/bin/python3.11")), reverse=True)
    found += sorted(
        glob.glob(os.path.expanduser("~/.local/share/uv/python/cpython-3.11*/bin/python3.11")), reverse=True
    )
    return [path for path in found if os.path.exists(path)]


def lacks(python: str) -> str:
    """What keeps this interpreter from being used: an empty string if nothing does."""
    code = "import sys; assert sys.version_info[:2] == (3, 11); import " + NEEDED_MODULES
    try:
        subprocess.check_output([python, "-c", code], stderr=subprocess.STDOUT, timeout=20)
    except subprocess.CalledProcessError as error:
        lines = error.output.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it does not start"
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return ""


def explain(rejected: "dict") -> None:
    """Say which Python is needed and how to get it."""
    print("LLMOpt needs a complete Python 3.11; this is Python {}.{}.".format(*sys.version_info[:2]))
    if rejected:
        print("Found, but not usable:")
        for path, reason in sorted(rejected.items()):
            print(f"  {path}: {reason}")
    print("Install it with one of these, then run the same command again:")
    print("  Debian 12, Ubuntu 22.04: sudo apt-get install python3.11 python3.11-venv")
    print("  anywhere with pyenv:     pyenv install 3.11 && pyenv local 3.11")


def find_python() -> str:
    """The path of a complete Python 3.11, or an empty string after saying what to install."""
    rejected = {}
    tried = set()
    # Inside a virtual environment the interpreter behind it is meant: .venv cannot be made anew from itself.
    here = [getattr(sys, "_base_executable", sys.executable)] if sys.version_info[:2] == WANTED else []
    for path in here + candidates():
        if path in tried:
            continue
        tried.add(path)
        reason = lacks(path)
        if not reason:
            return path
        rejected[path] = reason
    explain(rejected)
    return ""


def main() -> int:
    if not sys.platform.startswith(PLATFORM):
        print(f"LLMOpt runs on Linux: the kernel ties its processes together. This is {sys.platform}.")
        print("Use a Linux machine, a virtual machine, or WSL 2 on Windows.")
        return 1
    python = find_python()
    if not python:
        return 1
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if python != sys.executable:
        os.execv(python, [python, os.path.abspath(__file__)] + sys.argv[1:])
    sys.path.insert(0, root)
    from scripts.setup_lib.steps import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
