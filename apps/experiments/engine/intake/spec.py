"""What one run of the intake is asked to do: the content of `spec.json`."""

from pathlib import Path
from typing import Any, Literal

import msgspec

from apps.core.engine.messages import EngineError, gettext_noop
from apps.experiments.engine.splits import DEFAULT_PROBABILITIES

Shape = Literal["columns", "chat"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a file may be. `memory_mib` and `cpu_seconds` bound the process itself; 0 leaves them open."""

    max_bytes: int = 50 * 2**20
    max_rows: int = 1_000_000
    max_line_bytes: int = 2**20
    max_depth: int = 32
    max_columns: int = 200
    memory_mib: int = 0
    cpu_seconds: int = 0


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """Where input and expected answer stand. `group` names the column whose rows stay together; `keep` adds variables.

    In the shape "chat" the messages decide input and answer, and `keep` may name `system`.
    """

    shape: Shape = "columns"
    input: str = ""
    expected: str = ""
    group: str = ""
    keep: tuple[str, ...] = ()


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """The longest answer that a model can give, in characters, in tokens of `tokenizer` (a folder), or both; 0: any."""

    characters: int = 0
    tokens: int = 0
    tokenizer: str = ""


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """`fixes` are the codes of `problems.KINDS` that a person accepted; None accepts every fix there is."""

    file: str
    name: str = ""
    limits: Limits = Limits()
    mapping: Mapping | None = None
    answer: dict[str, Any] | None = None
    fixes: tuple[str, ...] | None = None
    split_seed: int = 0
    probabilities: tuple[float, float, float] = DEFAULT_PROBABILITIES
    earlier: str | None = None
    room: Room = Room()
    tokenizer: str = ""

    def accepts(self, code: str) -> bool:
        return self.fixes is None or code in self.fixes


def read_spec(folder: Path) -> Spec:
    """EngineError names the file and what is wrong with it."""
    path = folder / "spec.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Spec)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EngineError(gettext_noop("%(path)s cannot be read: %(error)s."), path=path, error=error) from None
