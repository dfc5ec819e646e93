"""Which files make a model, and which are never taken: nothing that runs code when it is opened."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from apps.core.engine.messages import gettext_noop
from apps.providers.engine.importing.errors import ImportRefused

# Both execute what they hold when they are opened: pickles by their format, the others by their nature.
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz"})
CODE = frozenset({".py", ".pyc", ".pyx", ".so", ".dll", ".dylib", ".sh", ".exe", ".ipynb", ".js"})
_TAKEN = re.compile(
    r"(?:[\w.-]+\.safetensors(?:\.index\.json)?|config\.json|generation_config\.json|tokenizer\.json"
    r"|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json|vocab\.json|merges\.txt|chat_template\.jinja"
    r"|adapter_config\.json|README\.md|LICENSE(?:\.\w+)?)"
)
MOST_JSON_BYTES = 64 * 1024 * 1024
MOST_HEADER_BYTES = 100 * 1024 * 1024
MOST_FILES = 2000
# Keys by which a configuration asks for code from elsewhere.
_CODE_KEYS = ("auto_map", "custom_pipelines")
_KERNEL_KEYS = ("_attn_implementation", "attn_implementation", "_attn_implementation_internal")


@dataclass(frozen=True, slots=True)
class Source:
    """A checked folder: a whole model, or an adapter that names its base. `left_out` are files that were not taken."""

    folder: Path
    kind: str
    base_name: str
    parameters: int
    left_out: tuple[str, ...]


def is_taken(name: str) -> bool:
    return _TAKEN.fullmatch(PurePosixPath(name).name) is not None


def refuse_harmful(name: str) -> None:
    """Raise ImportRefused for a file that would run code when a program opens it."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in PICKLES:
        raise ImportRefused(
            "hostile",
            gettext_noop(
                "%(name)s may hold pickled objects, which run code when they are opened. Save the model with"
                " safe_serialization=True and leave such files out."
            ),
            name=name,
        )
    if suffix in CODE:
        raise ImportRefused(
            "hostile",
            gettext_noop("%(name)s is program code. A model is taken without any code of its own; leave it out."),
            name=name,
        )


def copy_folder(source: Path, destination: Path) -> tuple[str, ...]:
    """Copy the files of a model from a folder on this machine. Returns the names of what was left there.

    A link in the folder is refused, since it could name any file of this machine.
    """
    left = []
    destination.mkdir(parents=True)
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        if entry.is_symlink():
            raise ImportRefused(
                "hostile",
                gettext_noop("%(name)s is a link to another place. Copy the file itself into the folder."),
                name=entry.name,
            )
        if entry.is_file(follow_symlinks=False) and is_taken(entry.name):
            shutil.copyfile(entry.path, destination / entry.name, follow_symlinks=False)
        else:
            left.append(entry.name)
    return tuple(left)


def find_model_folder(root: Path) -> Path:
    """The one folder below `root`, or `root` itself, that holds a model's or an adapter's configuration."""
    found = sorted(
        {path.parent for name in ("config.json", "adapter_config.json") for path in root.rglob(name)},
        key=lambda folder: (len(folder.parts), str(folder)),
    )
    if not found:
        raise ImportRefused(
            "not_a_model", gettext_noop("There is no config.json and no adapter_config.json, so this is no model.")
        )
    shallowest = [folder for folder in found if len(folder.parts) == len(found[0].parts)]
    if len(shallowest) > 1:
        raise ImportRefused(
            "not_a_model",
            gettext_noop("There are %(count)d models side by side (%(first)s, %(second)s). Send one at a time."),
            count=len(shallowest),
            first=shallowest[0].name,
            second=shallowest[1].name,
        )
    return found[0]


def check_source(folder: Path, *, left_out: tuple[str, ...] = ()) -> Source:
    """Look through a folder of files that are allowed by name. Raises ImportRefused for the first thing wrong."""
    for path in sorted(folder.glob("*.json")):
        _refuse_remote_code(path.name, read_object(path))
    if (folder / "adapter_config.json").is_file():
        config = read_object(folder / "adapter_config.json")
        if config.get("peft_type") != "LORA":
            raise ImportRefused(
                "not_a_model",
                gettext_noop("adapter_config.json describes a %(kind)s adapter; only LORA adapters are taken."),
                kind=str(config.get("peft_type"))[:40],
            )
        parameters = _parameters(folder, "adapter_model.safetensors")
        return Source(folder, "adapter", str(config.get("base_model_name_or_path") or ""), parameters, left_out)
    if not (folder / "config.json").is_file():
        raise ImportRefused("not_a_model", gettext_noop("config.json is missing, so this is no model."))
    return Source(folder, "model", "", _parameters(folder, "*.safetensors"), left_out)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object of a file; ImportRefused when it is too large, too deep, or something else."""
    if path.stat().st_size > MOST_JSON_BYTES:
        raise ImportRefused("too_large", gettext_noop("%(name)s is too large for a configuration."), name=path.name)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ImportRefused(
            "not_a_model", gettext_noop("%(name)s is not valid JSON: %(error)s"), name=path.name, error=str(error)[:200]
        ) from error
    if not isinstance(content, dict):
        raise ImportRefused("not_a_model", gettext_noop("%(name)s should hold a JSON object."), name=path.name)
    return content


def _refuse_remote_code(name: str, content: dict[str, Any]) -> None:
    mapping = content.get("auto_mapping") or {}
    library = mapping.get("parent_library", "") if isinstance(mapping, dict) else "?"
    # peft writes the class of its base here; a module of anybody else's would be imported.
    foreign = {"auto_mapping"} if not f"{library or 'transformers'}.".startswith("transformers.") else set()
    for key in (*_CODE_KEYS, *foreign):
        if content.get(key):
            raise ImportRefused(
                "hostile",
                gettext_noop(
                    "%(name)s asks for program code (%(key)s). Only models without code of their own are taken."
                ),
                name=name,
                key=key,
            )
    for key in _KERNEL_KEYS:
        if "/" in str(content.get(key) or ""):
            raise ImportRefused(
                "hostile",
                gettext_noop("%(name)s asks for a kernel from elsewhere (%(key)s). Take the entry out."),
                name=name,
                key=key,
            )
    if name == "config.json" and content.get("quantization_config"):
        raise ImportRefused(
            "not_a_model",
            gettext_noop(
                "The weights are quantised (quantization_config). Save the model in float32, float16 or bfloat16."
            ),
        )


def _parameters(folder: Path, pattern: str) -> int:
    """How many numbers the weights hold; ImportRefused for a file that is no safetensors file."""
    files = sorted(folder.glob(pattern))
    if not files:
        raise ImportRefused(
            "not_a_model", gettext_noop("There is no %(pattern)s. Save the weights as safetensors."), pattern=pattern
        )
    _check_index(folder)
    return sum(sum(_tensor_sizes(path)) for path in files)


def _tensor_sizes(path: Path) -> Iterator[int]:
    from safetensors import SafetensorError, safe_open

    refused = ImportRefused(
        "not_a_model", gettext_noop("%(name)s is no safetensors file, whatever its name says."), name=path.name
    )
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= MOST_HEADER_BYTES or length + 8 > path.stat().st_size:
        raise refused
    try:
        with safe_open(path, framework="numpy") as weights:
            for key in weights.keys():  # noqa: SIM118 - not a mapping
                size = 1
                for axis in weights.get_slice(key).get_shape():
                    size *= axis
                yield size
    except SafetensorError as error:
        raise refused from error


def _check_index(folder: Path) -> None:
    """The parts that an index names must lie beside it, under plain names."""
    for path in folder.glob("*.safetensors.index.json"):
        parts = read_object(path).get("weight_map")
        names = set(parts.values()) if isinstance(parts, dict) else {None}
        for name in names:
            if not isinstance(name, str) or PurePosixPath(name).name != name or not (folder / name).is_file():
                raise ImportRefused(
                    "not_a_model",
                    gettext_noop("%(index)s names the part %(name)s, which is not beside it."),
                    index=path.name,
                    name=str(name)[:120],
                )
