"""Glyphs of classes, levels of grey, and what is drawn where the locale has no Unicode."""

from __future__ import annotations

import locale
from typing import Final

from rich.cells import cell_len

GLYPHS: Final = "●+×◆▲■"
"""One for each class, so that colour alone tells nothing."""
INKS: Final = 9
"""Levels of grey."""

_PLAIN: Final = str.maketrans(
    {
        **dict.fromkeys("█▉▊▋▌", "#"),
        **dict.fromkeys("▏▎▍", "."),
        **dict(zip("▁▂▃▄▅▆▇", "_..-==*", strict=True)),
        **dict.fromkeys("─╌┬┴┼", "-"),
        **{"━": "=", "╸": "-", "▀": "^", "▄": "_"},
        **dict.fromkeys("│┤├‖", "|"),
        **dict.fromkeys("└┘┌┐", "+"),
        **{
            "▶": ">",
            "▲": "^",
            "◆": "o",
            "●": "*",
            "•": "*",
            "◐": "*",
            "❚": "|",
            "■": "#",
            "✔": "+",
        },
        **{"✗": "x", "·": ".", "…": "~", "—": "-", "–": "-", "×": "x", "÷": "/", "µ": "u"},
        **{
            "→": ">",
            "←": "<",
            "↑": "^",
            "↓": "v",
            "²": "2",
            "√": "V",
            "↵": "/",
            "°": " ",
            "‘": "'",
            "’": "'",
        },
        **dict.fromkeys("“”", '"'),
    }
)


def ascii_only() -> bool:
    """Whether the locale's encoding is something other than UTF-8."""
    return locale.getpreferredencoding(do_setlocale=False).lower().replace("-", "") != "utf8"


def plain(text: str) -> str:
    """`text` in ASCII, cell for cell: known glyphs by their likeness, others as "?"."""
    text = text.translate(_PLAIN)
    if text.isascii():
        return text
    return "".join(c if c.isascii() else "?" * cell_len(c) for c in text)
