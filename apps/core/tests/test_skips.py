"""A test that skips itself fails the run, unless its reason is listed."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LISTED = "needs PostgreSQL: the asynchronous ledger exists for it alone"
SAMPLES = {
    "listed": (f"pytest.skip({LISTED!r})", "SKIPPED"),
    "unlisted": ("pytest.skip('not today')", "FAILED"),
    "no_module": ("pytest.importorskip('no_such_module')", "FAILED"),
    "expected_failure": ("pytest.xfail('known')", "XFAIL"),
    "passes": ("assert True", "PASSED"),
}


def test_a_skip_fails_the_run_unless_its_reason_is_listed(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    tests = "".join(f"def test_{name}():\n    {body}\n" for name, (body, _) in SAMPLES.items())
    (tmp_path / "test_samples.py").write_text(f"import pytest\n{tests}@pytest.mark.skip\ndef test_marked(): ...\n")
    (tmp_path / "test_whole_file.py").write_text("import pytest\npytest.skip('all', allow_module_level=True)\n")
    # The repository's conftest as a plug-in, for tests outside of it.
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-vv",
        "-c",
        "pytest.ini",
        "-p",
        "conftest",
        "--continue-on-collection-errors",
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "llmopt.settings.test",
        "LLMOPT_VAR_DIR": str(tmp_path / "var"),
    }
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    outcomes = dict(re.findall(r"^test_samples\.py::test_(\w+) ([A-Z]+)", done.stdout, re.MULTILINE))
    assert outcomes == {**{name: outcome for name, (_, outcome) in SAMPLES.items()}, "marked": "ERROR"}
    assert "ERROR test_whole_file.py" in done.stdout
    assert "does not list: not today" in done.stdout
    assert done.returncode == 1
