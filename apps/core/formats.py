"""How figures read in words: numbers, money, durations, sizes. Pages and the terminal share these."""

import math
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _

NANO = Decimal(10) ** 9
MISSING = "–"
MINUS = "\u2212"


def number_text(value: float | int | Decimal | None, digits: int = 3, *, signed: bool = False) -> str:
    """A number with fixed decimals and a real minus sign; ``–`` when it is missing or not a number."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return MISSING
    amount = Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    text = number_format(abs(amount), decimal_pos=digits, use_l10n=True, force_grouping=True)
    if amount < 0:
        return MINUS + text
    return f"+{text}" if signed and amount > 0 else text


def count_text(value: int | None) -> str:
    """A whole number with thousands separators."""
    return MISSING if value is None else number_text(value, 0)


def percent_text(value: float | None, digits: int = 1) -> str:
    """A proportion (0 to 1) as a percentage."""
    return MISSING if value is None else f"{number_text(Decimal(str(value)) * 100, digits)}\u00a0%"


def money_text(nanousd: int | None, digits: int | None = None) -> str:
    """Nano-dollars as dollars. Never reads as zero unless it is: small amounts keep two significant digits.

    With ``digits`` the decimals are fixed (one column, one precision); an amount too small for them reads ``< $0.01``.
    """
    if nanousd is None:
        return MISSING
    sign = MINUS if nanousd < 0 else ""
    dollars = Decimal(abs(nanousd)) / NANO
    if digits is None:
        digits = _money_digits(dollars)
    step = Decimal(1).scaleb(-digits)
    if 0 < dollars < step / 2:
        return f"{sign}<\u00a0${number_text(step, digits)}"
    return f"{sign}${number_text(dollars, digits)}"


def _money_digits(dollars: Decimal) -> int:
    if dollars == 0 or dollars >= 1:
        return 2
    return min(9, max(2, 1 - dollars.adjusted()))


def duration_text(seconds: float | None) -> str:
    """Seconds in at most two units: ``420 ms``, ``3.4 s``, ``34 s``, ``6 min 5 s``, ``2 h 14 min``, ``3 d 4 h``."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 1:
        return _("%(n)s ms") % {"n": round(seconds * 1000)}
    if seconds < 9.95:
        return _("%(n)s s") % {"n": number_text(seconds, 1)}
    whole = round(seconds)
    if whole < 60:
        return _("%(n)s s") % {"n": whole}
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        first, second = _("%(n)s min") % {"n": minutes}, _("%(n)s s") % {"n": rest}
        return f"{first} {second}" if rest else first
    hours, minutes = divmod(round(whole / 60), 60)
    if hours < 48:
        first, second = _("%(n)s h") % {"n": hours}, _("%(n)s min") % {"n": minutes}
        return f"{first} {second}" if minutes else first
    days, hours = divmod(round(whole / 3600), 24)
    first, second = _("%(n)s d") % {"n": days}, _("%(n)s h") % {"n": hours}
    return f"{first} {second}" if hours else first


def duration_range_text(low: float | None, high: float | None) -> str:
    """A time still to go, as a range in one unit where both ends share it: ``2–3 min``."""
    if low is None or high is None:
        return MISSING
    low, high = sorted((max(low, 0), max(high, 0)))
    for size, words in ((3600, _("%(range)s h")), (60, _("%(range)s min")), (1, _("%(range)s s"))):
        if high >= 1.5 * size or size == 1:
            start, end = math.floor(low / size), math.ceil(high / size)
            span = str(end) if start == end else f"{start}–{end}"
            return words % {"range": span}
    return MISSING


def money_range_text(low: int | None, high: int | None) -> str:
    """A cost estimate as a range; one figure when both ends read alike."""
    first, second = money_text(low), money_text(high)
    return first if first == second else f"{first} – {second}"


def size_text(size_bytes: int | None) -> str:
    """Bytes in decimal units: ``934 kB``, ``1.5 MB``."""
    if size_bytes is None:
        return MISSING
    if size_bytes < 1000:
        return f"{size_bytes}\u00a0B"
    amount = float(size_bytes)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1000
        if amount < 999.5 or unit == "TB":
            break
    return f"{number_text(amount, 1 if amount < 100 else 0)}\u00a0{unit}"


def setting_lines(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings as (name, value), one line each; one inside a group carries the group's name: ``lora.r``."""
    lines: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            lines += [(f"{key}.{inner}", str(each)) for inner, each in value.items()]
        else:
            lines.append((key, str(value)))
    return lines
