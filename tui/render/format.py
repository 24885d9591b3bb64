"""Text for a terminal: made harmless, and numbers in fixed, readable forms."""

from __future__ import annotations

import math
import unicodedata

from rich.cells import cell_len, chop_cells, set_cell_size

from ...core.training.own_code import ESCAPES

_DROPPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
"""Categories that never reach the terminal: controls, bidi and other format characters,
surrogates (they cannot even be encoded), private and unassigned characters."""

NOTHING = "—"
"""Stands where a value is not known."""


def clean(text: str, *, lines: bool = False) -> str:
    """`text` without anything that a terminal could obey.

    Escape sequences, control and format characters (bidi among them) go; a tab becomes spaces.
    Of a line that was rewritten with carriage returns the last version stays.

    Args:
        lines: keep line breaks; otherwise they become spaces.
    """
    text = ESCAPES.sub("", text).expandtabs(4)
    text = text.replace("\u2028", "\n").replace("\u2029", "\n").replace("\r\n", "\n")
    rows = [_last_version(row) for row in text.split("\n")]
    kept = ["".join(c for c in row if _harmless(c)) for row in rows]
    return ("\n" if lines else " ").join(kept)


def _last_version(row: str) -> str:
    return next((part for part in reversed(row.split("\r")) if part), "")


def _harmless(char: str) -> bool:
    if char.isascii():
        return " " <= char <= "~"
    # Variation selectors make the width of what they follow a matter of taste.
    return unicodedata.category(char) not in _DROPPED and not "\ufe00" <= char <= "\ufe0f"


def fit(text: str, width: int, *, right: bool = False) -> str:
    """`text` in exactly `width` cells: padded, or cut with an ellipsis."""
    size = cell_len(text)
    if size > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    pad = " " * (width - size)
    return pad + text if right else text + pad


def wrap(text: str, width: int) -> list[str]:
    """`text` in rows of at most `width` cells, broken at spaces where there are any."""
    rows: list[str] = []
    for paragraph in text.split("\n"):
        row: str | None = None
        for word in paragraph.split(" "):
            joined = word if row is None else f"{row} {word}"
            if cell_len(joined) <= width:
                row = joined
                continue
            if row:
                rows.append(row)
            # A wide glyph counts two, and is never halved, however narrow it is.
            *full, row = [piece for piece in chop_cells(word, width) if piece] or [""]
            rows += full
        rows.append(row or "")
    return rows


def number(value: float | None) -> str:
    """About four significant digits: "0.0832", "12.40", "1.2e-5", "NaN", "inf"."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-3 or size >= 1e5:
        return short_exponent(f"{value:.2e}")
    digits = 4 if size < 1 else 3 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0
    return f"{value:.{digits}f}"


def tick(value: float, digits: int = 3) -> str:
    """A round number beside an axis: "0.5", "2", "1.5e-4".

    Args:
        digits: significant ones, at most; small and large whole numbers keep all of theirs.
    """
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.{max(6, digits)}g}"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.') if digits > 1 else mantissa}e{int(exponent)}"


def learning_rate(value: float | None) -> str:
    """In two digits, as people write it: "0.1", "0.001", "3.5e-4"."""
    if value is None or not math.isfinite(value):
        return number(value)
    if value == 0 or 1e-3 <= abs(value) < 100:
        return f"{value:.2g}"
    return short_exponent(f"{value:.1e}").replace(".0e", "e")


def share(ratio: float | None) -> str:
    """A share in two digits: "24 %", "0.21 %", "3.1e-6 %"."""
    if ratio is None or not math.isfinite(100 * ratio):
        return number(ratio)
    if ratio and not 1e-6 <= ratio < 1e3:
        return short_exponent(f"{100 * ratio:.1e}") + " %"
    return f"{100 * ratio:,.0f} %" if ratio == 0 or ratio >= 0.0995 else f"{100 * ratio:.2g} %"


def short_exponent(text: str) -> str:
    """The exponent without padding: "1.0e-03" becomes "1.0e-3"."""
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}"


def percent(share: float | None, digits: int = 0) -> str:
    """A share of 0 to 1 as "43 %"."""
    return NOTHING if share is None else f"{100 * share:.{digits}f} %"


SHARES = ("accuracy", "balanced_accuracy", "majority_share")
"""Metrics that are shares of 0 to 1."""


def metric(name: str, value: float | None) -> str:
    """A validation metric as people say it: shares in per cent, the others as numbers."""
    if name in SHARES and value is not None and math.isfinite(value):
        return percent(value, 1)
    return number(value)


def count(value: float | None) -> str:
    """A whole number with separators: "29,184"."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:,.0f}"


def counted(number: int, what: str) -> str:
    """A number of things: "1 epoch", "20 epochs"."""
    plural = "es" if what.endswith("tch") else "s"
    return f"{number:,} {what}{'' if number == 1 else plural}"


def learned(parameters: int | None) -> str:
    """How many numbers a model can learn; None where its first batch tells."""
    if parameters is None:
        return "parameters known after the first batch"
    return counted(parameters, "parameter")


def rate(value: float | None) -> str:
    """So many a second: whole above 10, with decimals below."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def short_time(seconds: float | None) -> str:
    """How long a phase takes: "340 µs", "1.2 ms", "0.41 s"."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    for unit, size in (("µs", 1e-6), ("ms", 1e-3)):
        value = seconds / size
        if value < 999.5:
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 99.5 else f"{seconds:.0f} s"


def clock(seconds: float | None) -> str:
    """A span as "0:41" or "1:02:03"."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ago(seconds: float) -> str:
    """A span in its largest whole unit: "12 s", "5 min", "3 h", "2 d"."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def size(value: int | None) -> str:
    """Bytes as "512 MiB" or "1.2 GiB"."""
    if value is None:
        return NOTHING
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20)):
        if value >= scale:
            amount = value / scale
            return (
                f"{amount:.1f} {unit}"
                if amount < 99.5 and unit == "GiB"
                else f"{amount:.0f} {unit}"
            )
    return f"{value / 1024:.0f} KiB"
