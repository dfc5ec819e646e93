"""Send the REST API what its own OpenAPI document allows and forbids: `make fuzz`.

    python scripts/fuzz_api.py                             as an API key, then as a signed-in owner
    python scripts/fuzz_api.py --as key --seed 1           one of them, the same requests every time
    python scripts/fuzz_api.py -- --include-tag budgets    what follows goes to schemathesis as it is

A server of its own with fictional teams answers, and no call leaves this machine: the only provider that it knows is a
server beside it. Requests (examples, boundaries, random ones, and chains of them) and checks are schemathesis's; where
one of them cannot hold, and why, says scripts/fuzz_lib/schemathesis.toml. Exits non-zero with what was found.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from apps.providers.tests.fake_openai import fake_openai  # noqa: E402 - the root must be on the path first
from apps.providers.tests.fake_provider import KEY, FakeProvider  # noqa: E402 - as above
from scripts.look_lib.site import Site, running_site  # noqa: E402 - as above

CONFIG = ROOT / "scripts" / "fuzz_lib" / "schemathesis.toml"
TEAM = "FUZZ_TEAM"
CALLERS = ("key", "session")
SCOPES = ("read", "write", "generate")


def environment_of(provider: FakeProvider) -> dict[str, str]:
    """No limit of requests, and no provider but the one beside the server."""
    return {
        "LLMOPT_API_REQUESTS_PER_MINUTE": "0",
        "LLMOPT_SIGN_IN_TRIES_PER_MINUTE": "0",
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": provider.url,
        "ANTHROPIC_API_KEY": "",
        "ANTHROPIC_BASE_URL": provider.url,
    }


def headers_of(site: Site, caller: str, state: dict[str, str]) -> dict[str, str]:
    """What every request of this caller carries."""
    if caller == "key":
        scopes = [part for scope in SCOPES for part in ("--scope", scope)]
        key = site.command(
            "api_key_create", "--team", state["team"], "--email", state["email"], "--name", "fuzz", *scopes
        )
        return {"Authorization": f"Bearer {key.strip()}"}
    browser = requests.Session()
    browser.get(state["login_url"], timeout=30)
    cookies = browser.cookies.get_dict()
    if "sessionid" not in cookies:
        sys.exit(f"The sign-in link did not sign in: {state['login_url']}")
    # Whoever sends a token of their own making in cookie and header is no other site's page.
    token = "f" * 32
    return {"Cookie": f"sessionid={cookies['sessionid']}; csrftoken={token}", "X-CSRFToken": token}


def fuzz(site: Site, caller: str, state: dict[str, str], options: list[str]) -> int:
    """schemathesis's exit status."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG), "run"]
    for name, value in headers_of(site, caller, state).items():
        command += ["--header", f"{name}: {value}"]
    print(f"As {'an API key' if caller == 'key' else 'a signed-in owner'}:", flush=True)
    address = f"{site.base_url}/api/v1/schema/?format=json"
    # The hooks are found from the root of the repository.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), TEAM: state["team"]}
    done = subprocess.run([*command, *options, address], cwd=ROOT, env=environment, check=False)  # noqa: S603 - ours
    return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--as", dest="caller", choices=CALLERS, help="one caller; both unless told")
    parser.add_argument("--seed", type=int, help="the same requests every time")
    parser.add_argument("--examples", type=int, default=20, help="random requests of each kind for each operation")
    parser.add_argument("options", nargs="*", help="options of `schemathesis run`")
    given = parser.parse_args()
    options = ["--max-examples", str(given.examples), *(["--seed", str(given.seed)] if given.seed is not None else [])]
    failed = 0
    for caller in [given.caller] if given.caller else CALLERS:
        with tempfile.TemporaryDirectory(prefix="llmopt-fuzz-") as folder, fake_openai() as provider:
            os.environ.update(environment_of(provider))
            with running_site(Path(folder)) as site:
                made = site.state("full")
                owner = made["people"][0]
                state = {"team": made["team"], "email": owner["email"], "login_url": owner["login_url"]}
                failed |= fuzz(site, caller, state, [*options, *given.options])
                failed |= _tracebacks(Path(folder) / "web.log")
    return failed


def _tracebacks(log: Path) -> int:
    """1 when the server met something that nobody had thought of, also behind an answer that looks well."""
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if "Traceback" in line]
    for line in lines[:20]:
        print(line[:2000])
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
