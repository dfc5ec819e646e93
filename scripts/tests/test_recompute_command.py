"""The command that recomputes a report: its exit code, its refusals, and that it needs nothing of the product."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import recompute

ROOT = Path(__file__).resolve().parents[2]


def test_the_command_says_with_its_exit_code_whether_the_report_holds(
    honest: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(honest), encoding="utf-8")
    assert recompute.main([str(path)]) == 0
    assert "0 of them or of the report's shape are wrong" in capsys.readouterr().out
    honest_value = honest["candidates"][2]["metrics"]["field_f1"]["value"]
    path.write_text(json.dumps(honest).replace(json.dumps(honest_value), "0.99"), encoding="utf-8")
    assert recompute.main([str(path), "--quiet"]) == 1
    assert "differs: good field_f1.value: reported 0.99" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["[]", '{"schema": NaN}', '{"schema": 1, "schema": 2}', "{"])
def test_a_file_that_is_no_report_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.json"
    path.write_text(text, encoding="utf-8")
    assert recompute.main([str(path)]) == 1
    assert capsys.readouterr().err != ""


def test_nothing_of_the_product_is_imported() -> None:
    sources = [ROOT / "scripts" / "recompute.py", *(ROOT / "scripts" / "recompute_lib").glob("*.py")]
    assert len(sources) > 5
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("apps", "llmopt", "django") for name in names), source


def test_the_script_runs_on_its_own_from_any_folder(honest: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps(honest), encoding="utf-8")
    command = [sys.executable, str(ROOT / "scripts" / "recompute.py"), str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "good field_f1.value" in done.stdout
