"""`python -m apps.providers.engine.importing unpack|prepare JOB_FOLDER`: one step of bringing a model in.

The folder holds spec.json; events.jsonl gets the progress, result.json what came out or why it was refused. `unpack`
brings the files to source/ and says what they are, `prepare` makes result/ of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.importing.errors import ImportRefused

EXIT_REFUSED = 2


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="apps.providers.engine.importing")
    parser.add_argument("step", choices=("unpack", "prepare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parent-death", action="store_true", help="end when the starting process ends (Linux)")
    options = parser.parse_args(arguments)
    if options.parent_death:
        from apps.providers.engine.inference.server import end_with_parent

        end_with_parent()
    folder: Path = options.folder
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    try:
        found = {"unpack": _unpack, "prepare": _prepare}[options.step](folder, spec)
    except ImportRefused as refused:
        return _refuse(folder, refused)
    except OSError as error:
        from apps.providers.engine.importing.hub import disk_full, is_disk_full

        if not is_disk_full(error):
            raise
        used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return _refuse(folder, disk_full(used, shutil.disk_usage(folder).free))
    except MemoryError:
        return _refuse(folder, ImportRefused("too_large", gettext_noop("Unpacking took more memory than is allowed.")))
    _write(folder / "result.json", found)
    return 0


def _refuse(folder: Path, refused: ImportRefused) -> int:
    _write(folder / "result.json", {"code": refused.code, "sentence": refused.sentence.as_json()})
    return EXIT_REFUSED


def _unpack(folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    from apps.providers.engine.importing.files import check_source, find_model_folder

    source = folder / "source"
    left: tuple[str, ...] = ()
    checked = {}
    if spec["from"] == "hub":
        from apps.providers.engine.importing.hub import download

        # What an earlier attempt has downloaded is kept.
        checked["checked_by"] = download(**spec["hub"], destination=source, progress=_reporter(folder, "download"))
    else:
        shutil.rmtree(source, ignore_errors=True)
        _report(folder, "unpack", 0, 0)
        left = _bring(spec, source)
    found = check_source(find_model_folder(source), left_out=left)
    return {
        "kind": found.kind,
        "base_name": found.base_name,
        "parameters": found.parameters,
        "left_out": list(found.left_out)[:50],
        **checked,
        "folder": str(found.folder.relative_to(folder)),
    }


def _bring(spec: dict[str, Any], source: Path) -> tuple[str, ...]:
    if spec["from"] == "folder":
        from apps.providers.engine.importing.files import copy_folder

        return copy_folder(Path(spec["path"]), source)
    from apps.providers.engine.importing.archive import unpack

    return unpack(Path(spec["path"]), source, most_bytes=spec["most_bytes"])


def _prepare(folder: Path, spec: dict[str, Any]) -> dict[str, Any]:
    from apps.providers.engine.importing.files import check_source
    from apps.providers.engine.importing.serving import prepare

    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}
    shutil.rmtree(folder / "result", ignore_errors=True)
    source = check_source(folder / spec["source"])
    base = Path(spec["base"]) if spec.get("base") else None
    info = prepare(
        source,
        folder / "result",
        base=base,
        threads=spec["threads"],
        phase=lambda name: _report(folder, name, 0, 0),
    )
    _write(folder / "result" / "info.json", {**spec.get("info", {}), **info})
    return info


def _reporter(folder: Path, phase: str) -> Any:
    return lambda done, total: _report(folder, phase, done, total)


def _report(folder: Path, phase: str, done: int, total: int) -> None:
    with (folder / "events.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"phase": phase, "done": done, "total": total}) + "\n")


def _write(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_suffix(".writing")
    partial.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
