"""The set-up: what it looks at first, how it reads pip, and that no wrong file gets through."""

import ast
import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from scripts import export_requirements
from scripts.setup_lib import assets, dependencies, environment, torch_build
from scripts.setup_lib.assets import ADDRESSES, MODEL, Asset
from scripts.setup_lib.console import Phase, bar, clock_text
from scripts.setup_lib.errors import SetupError
from scripts.setup_lib.pip_runner import PipRun, Progress

ROOT = Path(__file__).resolve().parents[2]


# The first file must run anywhere.


def test_the_first_file_parses_with_the_grammar_of_python_3_6() -> None:
    source = (ROOT / "scripts" / "setup.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= {"glob", "os", "subprocess", "sys"}
    # A call that only newer versions of the standard library know would fail before the version is explained.
    assert "capture_output" not in source


def test_the_setup_uses_the_standard_library_only() -> None:
    imported = set()
    for path in (ROOT / "scripts" / "setup_lib").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(str(node.module).split(".")[0])
    assert imported <= sys.stdlib_module_names


def test_a_missing_python_is_explained_with_how_to_install_it(tmp_path: Path) -> None:
    source = (ROOT / "scripts" / "setup.py").read_text(encoding="utf-8")
    script = tmp_path / "setup.py"
    script.write_text(source.replace("WANTED = (3, 11)", "WANTED = (3, 99)").replace("python3.11", "python3.99"))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env={"PATH": "/nowhere"})
    assert done.returncode == 1
    assert "apt-get install" in done.stdout
    assert "pyenv install" in done.stdout


# Packages.


def repository(tmp_path: Path, *, dependencies_text: str = '["django>=5"]') -> Path:
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "x"\ndependencies = {dependencies_text}\n'
        '[project.optional-dependencies]\ntrain = ["torch==2.13.0"]\ndev = ["pytest"]\n[tool.ruff]\nline-length = 120\n'
    )
    (tmp_path / "constraints.txt").write_text("Django==5.2.19\npytest==9.2.0\ntorch==2.13.0\n")
    return tmp_path


def test_the_hash_follows_requirements_and_pins_but_not_the_tools_settings(tmp_path: Path) -> None:
    root = repository(tmp_path)
    before = dependencies.dependency_hash(group="run", root=root)
    pyproject = root / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("line-length = 120", "line-length = 100"))
    assert dependencies.dependency_hash(group="run", root=root) == before
    pins = root / "constraints.txt"
    pins.write_text(pins.read_text().replace("5.2.19", "5.2.20"))
    assert dependencies.dependency_hash(group="run", root=root) != before


def test_a_stamp_is_good_until_a_pin_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path)
    venv = root / ".venv"
    venv.mkdir()
    monkeypatch.setattr(environment, "environment_works", lambda venv: True)
    assert not environment.is_installed(group="run", venv=venv, root=root)
    environment.write_stamp(group="dev", venv=venv, root=root)
    assert environment.is_installed(group="dev", venv=venv, root=root)
    assert environment.is_installed(group="run", venv=venv, root=root)
    (root / "constraints.txt").write_text("Django==5.2.20\npytest==9.2.0\ntorch==2.13.0\n")
    assert not environment.is_installed(group="run", venv=venv, root=root)


def test_the_smaller_group_does_not_stand_in_for_the_larger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path)
    venv = root / ".venv"
    venv.mkdir()
    monkeypatch.setattr(environment, "environment_works", lambda venv: True)
    environment.write_stamp(group="run", venv=venv, root=root)
    assert environment.is_installed(group="run", venv=venv, root=root)
    assert not environment.is_installed(group="dev", venv=venv, root=root)


def test_a_moved_environment_is_recognised(tmp_path: Path) -> None:
    root = repository(tmp_path)
    (root / "before").mkdir()
    environment.write_stamp(group="run", venv=root / "before", root=root)
    assert not environment.moved(root / "before")
    (root / "before").rename(root / "after")
    assert environment.moved(root / "after")


def test_pip_output_becomes_counts(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = Progress(name="Download", total=4, site_packages=tmp_path)
    progress.phase = Phase("Download", 4, stream=stream)
    for line in [
        "Collecting numpy==2.4.6",
        "  Downloading numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl.metadata (62 kB)",
        "Requirement already satisfied: typing_extensions in ./.venv/lib (4.16.0)",
        "Processing /somewhere/files/fsspec-2026.9.0-py3-none-any.whl (from torch==2.13.0)",
        "  Using cached mpmath-1.3.0-py3-none-any.whl (536 kB)",
    ]:
        progress.read(line)
    assert progress.fetched == {"typing-extensions", "fsspec", "mpmath"}
    progress.read("  Downloading numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.whl (16.9 MB)")
    assert progress.fetched == {"typing-extensions", "fsspec", "mpmath", "numpy"}
    progress.read("Progress 8450000 of 16900000")
    assert "8 of 17 MB" in progress.note
    progress.read("Installing collected packages: mpmath, numpy")
    assert progress.installing
    (tmp_path / "mpmath-1.3.0.dist-info").mkdir()
    progress.tick()
    assert (progress.phase.done, progress.phase.total) == (1, 2)


def test_progress_without_a_terminal_is_a_line_every_ten_seconds() -> None:
    now = [0.0]
    stream = io.StringIO()
    phase = Phase("Install", 10, stream=stream, clock=lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        phase.update(second // 3)
    phase.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 4  # started, at 10 s, at 20 s, done
    assert "\r" not in stream.getvalue()
    assert "3/10" in lines[1]
    assert "0:10" in lines[1]
    assert bar(5, 10).count("#") == bar(5, 10).count(".")
    assert clock_text(75) == "1:15"


def test_an_unreachable_index_is_called_that() -> None:
    run = PipRun(
        status=1, lines=["WARNING: Retrying after connection broken by 'NewConnectionError(...)'", "ERROR: none"]
    )
    text = torch_build.unavailable_text(unreachable=run.unreachable, errors=run.errors(), log=Path("setup.log"))
    assert "cannot be reached" in text
    assert "ERROR: none" in text


@pytest.mark.parametrize(("statuses", "works"), [([0], True), ([1, 0], True), ([1, 1], False)])
def test_a_failed_install_is_tried_once_more(
    statuses: list[int], works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [PipRun(status=status, lines=["ERROR: broken"]) for status in statuses]
    stamped: list[str] = []
    monkeypatch.setattr(environment, "SECONDS_BEFORE_RETRY", 0.0)
    monkeypatch.setattr(environment, "create_environment", lambda **kwargs: None)
    monkeypatch.setattr(environment, "prepare_torch", lambda **kwargs: None)
    monkeypatch.setattr(environment, "pip_install", lambda **kwargs: runs.pop(0))
    monkeypatch.setattr(environment, "write_stamp", lambda **kwargs: stamped.append(kwargs["group"]))
    if works:
        environment.install(group="run", log=tmp_path / "log", venv=tmp_path)
    else:
        with pytest.raises(SetupError, match="ERROR: broken"):
            environment.install(group="run", log=tmp_path / "log", venv=tmp_path)
    assert runs == []
    assert stamped == (["run"] if works else [])


# Which torch.


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_build, "has_gpu", lambda: False)
    monkeypatch.delenv("TORCH_CUDA", raising=False)
    monkeypatch.delenv("TORCH_INDEX_URL", raising=False)
    monkeypatch.setenv("HEADLESS", "1")


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_the_cuda_build_is_refused_with_what_to_do() -> None:
    with pytest.raises(SetupError) as refused:
        torch_build.allow_cuda()
    assert "TORCH_INDEX_URL" in str(refused.value)
    assert "TORCH_CUDA=1" in str(refused.value)
    assert "2.7 GB" in str(refused.value)


@pytest.mark.usefixtures("no_gpu")
def test_the_cuda_build_can_be_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TORCH_CUDA", "1")
    torch_build.allow_cuda()
    assert "2.7 GB" in capsys.readouterr().out


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(("answer", "refused"), [("y", False), ("yes", False), ("", True), ("n", True)])
def test_at_a_terminal_the_answer_decides(answer: str, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def reply(question: str) -> str:
        asked.append(question)
        return answer

    monkeypatch.setattr(torch_build, "can_ask", lambda: True)
    monkeypatch.setattr("builtins.input", reply)
    if refused:
        with pytest.raises(SetupError):
            torch_build.allow_cuda()
    else:
        torch_build.allow_cuda()
    assert "2.7 GB" in asked[0]


@pytest.mark.usefixtures("no_gpu")
def test_nobody_is_asked_in_a_headless_run() -> None:
    assert not torch_build.can_ask()


def test_the_library_of_a_cuda_build_is_recognised() -> None:
    assert torch_build.CUDA_LIBRARY.match("Collecting nvidia-cublas==13.1.1.3 (from torch==2.13.0)")
    assert torch_build.CUDA_LIBRARY.match("Collecting cuda-bindings<14,>=13.0.3 (from torch==2.13.0)")
    assert not torch_build.CUDA_LIBRARY.match("Collecting networkx>=2.5.1 (from torch==2.13.0)")


# Demo assets.


def archive_with(tmp_path: Path, asset: Asset, content: bytes) -> tuple[Path, Asset]:
    """An archive of the asset's kind with this content, and the asset with the checksums that fit it."""
    tmp_path.mkdir(exist_ok=True)
    if asset.from_source:
        archive = tmp_path / "made-1.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            info = tarfile.TarInfo(asset.member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    else:
        archive = tmp_path / "made-1-py3-none-any.whl"
        with zipfile.ZipFile(archive, "w") as zipped:
            zipped.writestr(asset.member, content)
    fitting = replace(asset, archive_sha256=assets.sha256_of(archive), sha256=hashlib.sha256(content).hexdigest())
    return archive, fitting


class Downloads:
    """Stands where the package index would be: hands out one archive and counts."""

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        self.count = 0

    def __call__(self, asset: Asset, *, into: Path, python: Path, log: Path) -> Path:
        self.count += 1
        return self.archive


def fetch(asset: Asset, folder: Path, downloads: Downloads) -> bool:
    return assets.fetch(asset, folder=folder, python=Path("python"), log=folder / "log", downloader=downloads)


@pytest.mark.parametrize("kind", [MODEL, ADDRESSES])
def test_an_asset_is_fetched_once(kind: Asset, tmp_path: Path) -> None:
    archive, asset = archive_with(tmp_path / "index", kind, b"content")
    downloads = Downloads(archive)
    folder = tmp_path / "assets"
    assert fetch(asset, folder, downloads) is True
    assert fetch(asset, folder, downloads) is False
    assert downloads.count == 1
    assert [path.name for path in folder.iterdir()] == [asset.file_name]
    assert (folder / asset.file_name).read_bytes() == b"content"


@pytest.mark.parametrize("kind", [MODEL, ADDRESSES])
def test_a_changed_asset_is_fetched_again(kind: Asset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, asset = archive_with(tmp_path / "index", kind, b"content")
    downloads = Downloads(archive)
    folder = tmp_path / "assets"
    fetch(asset, folder, downloads)
    (folder / asset.file_name).write_bytes(b"c0ntent")
    assert fetch(asset, folder, downloads) is True
    assert "its SHA-256 differs" in capsys.readouterr().out
    assert (folder / asset.file_name).read_bytes() == b"content"


def test_a_changed_archive_is_never_opened(tmp_path: Path) -> None:
    archive, asset = archive_with(tmp_path / "index", ADDRESSES, b"content")
    archive.write_bytes(archive.read_bytes() + b"more")
    with pytest.raises(SetupError, match="was not opened"):
        fetch(asset, tmp_path / "assets", Downloads(archive))
    assert list((tmp_path / "assets").iterdir()) == []


@pytest.mark.parametrize("kind", [MODEL, ADDRESSES])
def test_a_changed_member_is_not_kept(kind: Asset, tmp_path: Path) -> None:
    archive, asset = archive_with(tmp_path / "index", kind, b"content")
    other = replace(asset, sha256="0" * 64)
    with pytest.raises(SetupError, match="was not kept"):
        fetch(other, tmp_path / "assets", Downloads(archive))
    assert list((tmp_path / "assets").iterdir()) == []


def test_the_checksums_of_the_demo_assets_are_written_down_whole() -> None:
    for asset in assets.ASSETS:
        assert len(bytes.fromhex(asset.sha256)) == 32
        assert len(bytes.fromhex(asset.archive_sha256)) == 32
        assert "==" in asset.requirement


# Exported requirements.


def exported(root: Path, *, run: dict[str, str], dev: dict[str, str]) -> None:
    for group, packages in (("run", run), ("dev", dev)):
        text = export_requirements.render(group=group, packages=packages, root=root)
        (root / export_requirements.FILES[group]).write_text(text)


@pytest.mark.syntax
def test_the_committed_requirements_are_current() -> None:
    assert export_requirements.problems(group="run") + export_requirements.problems(group="dev") == []


def test_current_requirements_have_no_problem(tmp_path: Path) -> None:
    root = repository(tmp_path)
    exported(root, run={"Django": "5.2.19", "torch": "2.13.0"}, dev={"pytest": "9.2.0"})
    assert export_requirements.problems(group="run", root=root) == []
    assert export_requirements.problems(group="dev", root=root) == []


def test_requirements_older_than_the_project_are_found(tmp_path: Path) -> None:
    root = repository(tmp_path)
    exported(root, run={"Django": "5.2.19", "torch": "2.13.0"}, dev={"pytest": "9.2.0"})
    repository(tmp_path, dependencies_text='["django>=5", "orjson"]')
    found = export_requirements.problems(group="run", root=root)
    assert any("older than pyproject.toml" in problem for problem in found)
    assert any("lacks orjson" in problem for problem in found)


def test_a_pin_edited_by_hand_is_found(tmp_path: Path) -> None:
    root = repository(tmp_path)
    exported(root, run={"Django": "5.2.18", "torch": "2.13.0"}, dev={"pytest": "9.2.0"})
    found = export_requirements.problems(group="run", root=root)
    assert found == ["requirements.txt: django==5.2.18, but constraints.txt has 5.2.19."]
