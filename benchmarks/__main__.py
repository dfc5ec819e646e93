"""`python -m benchmarks [name …]`: each benchmark in a process of its own, so that none warms another up."""

import argparse
import subprocess
import sys

from benchmarks import machine

NAMES = (
    "statistics",
    "ledger",
    "clients",
    "gateway",
    "events",
    "upload",
    "inference",
    "training",
    "preflight",
    "api_keys",
)
# They take minutes and the whole machine, so they run only by name.
BY_NAME = ("main_job", "import_rows")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    # Not `choices`: argparse would try the empty list of "no name given" against them.
    parser.add_argument(
        "names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)} (all without one), {', '.join(BY_NAME)}"
    )
    parser.add_argument("--repeats", type=int, help="instead of each benchmark's own number, three for most")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - {*NAMES, *BY_NAME})
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES + BY_NAME)}")
    print(machine.facts(), flush=True)
    failed = []
    for name in options.names or NAMES:
        repeats = [] if options.repeats is None else ["--repeats", str(options.repeats)]
        command = [sys.executable, "-m", f"benchmarks.{name}", *repeats]
        if subprocess.run(command, cwd=machine.ROOT).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
