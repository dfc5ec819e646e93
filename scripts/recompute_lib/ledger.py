"""What was reported beside what was recomputed, figure by figure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ABSENT = "missing"


@dataclass(frozen=True)
class Row:
    figure: str
    reported: Any
    recomputed: Any
    agrees: bool
    remark: str = ""

    @property
    def difference(self) -> float | None:
        pair = (self.reported, self.recomputed)
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in pair)
        return self.reported - self.recomputed if numbers else None


@dataclass
class Ledger:
    """Rows in the order of the checks, and problems that no pair of figures can express."""

    tolerance: float
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)

    def check(self, figure: str, reported: Any, recomputed: Any, *, slack: float = 0.0, remark: str = "") -> None:
        """Numbers agree within the tolerance, relative above 1; everything else must be equal."""
        self.rows.append(Row(figure, reported, recomputed, self._agree(reported, recomputed, slack), remark))

    def check_keys(self, figure: str, reported: Mapping[str, Any], recomputed: Mapping[str, Any]) -> None:
        """Every recomputed key; a nested mapping key by key; one that the report lacks counts as missing."""
        for key, value in recomputed.items():
            theirs = reported.get(key, ABSENT)
            if isinstance(value, Mapping) and isinstance(theirs, Mapping):
                self.check_keys(f"{figure}.{key}", theirs, value)
            elif isinstance(value, Mapping):
                self.check(f"{figure}.{key}", theirs, "an object")
            else:
                self.check(f"{figure}.{key}", theirs, value)

    def _agree(self, reported: Any, recomputed: Any, slack: float) -> bool:
        both = (reported, recomputed)
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in both):
            return type(reported) is type(recomputed) and reported == recomputed
        if not all(math.isfinite(value) for value in both):
            return False
        if all(isinstance(value, int) for value in both):
            return reported == recomputed
        return abs(reported - recomputed) <= self.tolerance * max(1.0, abs(recomputed)) + slack

    @property
    def disagreements(self) -> list[Row]:
        return [row for row in self.rows if not row.agrees]

    @property
    def clean(self) -> bool:
        return not self.problems and not self.disagreements
