"""Text is harmless before it reaches a terminal, and numbers have one form."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from fivestep.tui.render import format as text
from fivestep.tui.render import glyphs, spans

HOSTILE = [
    ("\x1b[31mred\x1b[0m", "red"),
    ("\x1b]0;title\x07seen", "seen"),
    ("\x1b]52;c;c3RvbGVu\x1b\\seen", "seen"),
    ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
    ("\x9b31mred", "red"),
    ("\x1bPq#0\x1b\\seen", "seen"),
    ("a\x00b\x07c\x7fd\x85e", "abcde"),
    ("user\u202egpj.exe", "usergpj.exe"),
    ("\u2066a\u2069\u200b\ufeff", "a"),
    ("10%\r20%\r30%", "30%"),
    ("done\r", "done"),
    ("a\nb", "a b"),
    ("lone \ud800 surrogate", "lone  surrogate"),
    ("[red]markup[/] [@click=app.quit]x[/]", "[red]markup[/] [@click=app.quit]x[/]"),
]


@pytest.mark.parametrize(("dirty", "clean"), HOSTILE)
def test_clean_strips_what_a_terminal_obeys(dirty: str, clean: str) -> None:
    assert text.clean(dirty) == clean


def test_clean_keeps_lines_where_they_are_wanted() -> None:
    assert text.clean("a\r\nb\tc", lines=True) == "a\nb   c"


@given(st.text(st.characters(), max_size=60))
def test_clean_leaves_no_control_or_format_character(dirty: str) -> None:
    cleaned = text.clean(dirty)
    assert not [c for c in cleaned if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co")]
    assert text.clean(cleaned) == cleaned
    cleaned.encode()


@given(st.text(max_size=40), st.integers(0, 30))
def test_fit_gives_exactly_the_cells_asked_for(dirty: str, width: int) -> None:
    assert cell_len(text.fit(text.clean(dirty), width)) == width


@given(st.text(max_size=80), st.integers(2, 30))
def test_wrap_keeps_within_the_width_and_loses_nothing(dirty: str, width: int) -> None:
    cleaned = text.clean(dirty)
    rows = text.wrap(cleaned, width)
    assert all(cell_len(row) <= width for row in rows)
    assert "".join(rows).replace(" ", "") == cleaned.replace(" ", "")


def test_wrap_keeps_indents() -> None:
    assert text.wrap('  File "x"', 40) == ['  File "x"']


@given(st.lists(st.tuples(st.text(max_size=8).map(text.clean), st.just("dim"))), st.integers(0, 20))
def test_sized_lines_have_exactly_their_cells(styled: list[tuple[str, str]], width: int) -> None:
    assert spans.line_width(spans.sized(spans.line(*styled), width)) == width


@given(st.text(max_size=30).map(text.clean))
def test_plain_text_is_ascii_and_as_wide(value: str) -> None:
    assert glyphs.plain(value).isascii()
    assert cell_len(glyphs.plain(value)) == cell_len(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "—"),
        (math.nan, "NaN"),
        (-math.inf, "-inf"),
        (0.0, "0"),
        (0.08321, "0.0832"),
        (12.4, "12.40"),
        (1.25e-5, "1.25e-5"),
        (1e300, "1.00e300"),
    ],
)
def test_number(value: float | None, shown: str) -> None:
    assert text.number(value) == shown


def test_the_other_forms() -> None:
    rates = (0.0, 0.1, 0.001, 0.00735, 5e-4, 3.46e-5, 12.0, 4096.0)
    shown = ["0", "0.1", "0.001", "0.0073", "5e-4", "3.5e-5", "12", "4.1e3"]
    assert [text.learning_rate(rate) for rate in rates] == shown
    assert text.percent(0.431) == "43 %"
    assert text.metric("accuracy", 0.9832) == "98.3 %"
    assert text.metric("r2", 0.9832) == "0.9832"
    assert text.count(29184) == "29,184"
    assert [text.short_time(t) for t in (1.8e-5, 3.4e-4, 1.23e-3, 0.9996, 2.5, 120)] == [
        "18 µs",
        "340 µs",
        "1.2 ms",
        "1.0 s",
        "2.5 s",
        "120 s",
    ]
    assert [text.clock(t) for t in (41, 3723, math.inf)] == ["0:41", "1:02:03", "—"]
    assert [text.size(n) for n in (1024, 420 * 2**20, int(1.25 * 2**30))] == [
        "1 KiB",
        "420 MiB",
        "1.2 GiB",
    ]
    assert [text.rate(r) for r in (912.4, 0.5)] == ["912", "0.50"]
