"""Every stored secret of an installation at once: which can be read, and all of them under the newest key."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from apps.core.encryption import CannotDecrypt, Sealed, is_readable, sealed_again, sealed_columns

BATCH = 200
# A row that changes between being read and being written is met again in the next pass.
MOST_PASSES = 5
LOOKED_AT = 1000


@dataclass
class Rotated:
    """Counts of rows. `unreadable` names those that no key of this process opens."""

    encrypted_again: int = 0
    newest_already: int = 0
    unreadable: list[str] = field(default_factory=list)


def rotate() -> Rotated:
    """Encrypt every stored secret with the newest key. Ended half-way, it goes on when it is called again.

    A row is written only as it was read: neither a second process nor a key that is replaced meanwhile is undone.
    """
    done = Rotated()
    for number in range(MOST_PASSES):
        met_again, done.unreadable = 0, []
        for model, name, pk, sealed in _rows():
            try:
                again = sealed_again(sealed)
            except CannotDecrypt:
                done.unreadable.append(f"{model._meta.label_lower} {pk}")
                continue
            if again is sealed:
                done.newest_already += number == 0
            elif model._default_manager.filter(pk=pk, **{name: sealed}).update(**{name: again}):
                done.encrypted_again += 1
            else:
                met_again += 1
        if not met_again:
            break
    return done


def unreadable_count() -> int:
    """How many of the newest secrets of each column no key of this process opens."""
    found = 0
    for model, name in sealed_columns():
        rows = model._default_manager.exclude(**{name: Sealed()}).order_by("-pk").values_list(name, flat=True)
        found += sum(not is_readable(sealed) for sealed in rows[:LOOKED_AT])
    return found


def _rows() -> Iterator[tuple[Any, str, Any, Sealed]]:
    for model, name in sealed_columns():
        last = 0
        while True:
            rows = model._default_manager.filter(pk__gt=last).exclude(**{name: Sealed()}).order_by("pk")
            batch = list(rows.values_list("pk", name)[:BATCH])
            for pk, sealed in batch:
                yield model, name, pk, sealed
            if len(batch) < BATCH:
                break
            last = batch[-1][0]
