"""Pictures of data, without an app: values, width and height to text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivestep.tui.render.data_pictures import (
    DataPicture,
    Excerpt,
    Histograms,
    Images,
    Scatter,
    draw,
)
from fivestep.tui.render.glyphs import GLYPHS
from fivestep.tui.render.spans import line_width

from ..conftest import texts

DIAGONAL = tuple(tuple(float(x == y) for x in range(8)) for y in range(8))
ARMS = Scatter((0.0, 1.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0), (0, 1, 1, 2), ("a", "b", "c"), True)
LINE = Scatter(tuple(i / 50 - 1 for i in range(101)), tuple(i / 25 for i in range(101)), (0,) * 101)
PICTURES = [
    ARMS,
    LINE,
    Images(tuple((DIAGONAL, str(i % 10)) for i in range(40))),
    Excerpt('if x:\n    return "a line that is too long for the panel"\n' * 9),
    Histograms(tuple((f"feature {i}", -1.5, 2.0, (0, 3, 9, 3, 1)) for i in range(9))),
]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda p: type(p).__name__)
@given(wide=st.integers(0, 130), high=st.integers(0, 50), ascii=st.booleans())
def test_a_picture_stays_inside_its_panel(
    picture: DataPicture, wide: int, high: int, ascii: bool
) -> None:
    drawn = draw(picture, wide, high, ascii=ascii)
    assert len(drawn) <= high
    assert all(line_width(row) <= wide for row in drawn)


def test_classes_differ_by_glyph_and_are_named() -> None:
    drawn = texts(draw(ARMS, 20, 8))
    assert drawn[0].split() == [GLYPHS[1], GLYPHS[2]]
    assert drawn[5].split() == [GLYPHS[0], GLYPHS[1]]
    assert drawn[-1].split() == [GLYPHS[0], "a", GLYPHS[1], "b", GLYPHS[2], "c"]


def test_the_plane_keeps_its_proportions() -> None:
    drawn = texts(draw(ARMS, 60, 12))
    top = drawn[0]
    assert len(top.strip()) == 2 * (12 - 2)  # a cell is twice as high as wide


def test_values_have_an_axis() -> None:
    drawn = texts(draw(LINE, 40, 10))
    assert drawn[0].startswith(" 4┤")
    assert drawn[7].startswith(" 0┤")
    assert drawn[-1].split() == ["-1", "1"]


def test_points_that_are_no_numbers_are_left_out() -> None:
    bad = Scatter((math.nan, 0.0, 1.0), (0.0, math.inf, 1.0), (0, 0, 0))
    assert draw(bad, 30, 8)
    assert texts(draw(Scatter((math.nan,), (0.0,), (0,)), 30, 8)) == ["no points"]


def test_an_image_is_drawn_in_half_blocks_with_its_label() -> None:
    drawn = draw(Images(((DIAGONAL, "7"),)), 8, 5)
    assert [text for text, _ in drawn[0] if text.strip()] == ["▀", "▀"]
    assert [style for text, style in drawn[0] if text.strip()] == ["ink-8-0", "ink-0-8"]
    assert texts(drawn)[-1].strip() == "7"


def test_images_are_larger_where_there_is_room() -> None:
    pictures = Images(tuple((DIAGONAL, "7") for _ in range(20)))
    assert len(draw(pictures, 40, 16)) == 3 * 5
    big = texts(draw(pictures, 80, 30))
    assert "7" in big[8].split()  # twice as large: 8 lines, then the labels


def test_a_large_image_is_made_to_fit() -> None:
    large = tuple((1.0,) * 200 for _ in range(100))
    drawn = draw(Images(((large, "white"),)), 30, 12)
    assert drawn
    assert all(line_width(row) <= 30 for row in drawn)


def test_without_unicode_an_image_is_made_of_ascii() -> None:
    drawn = texts(draw(Images(((DIAGONAL, "7"),)), 16, 9, ascii=True))
    assert drawn[0] == "@@" + " " * 14
    assert all(row.isascii() for row in drawn)


def test_a_text_keeps_its_indentation_and_loses_what_a_terminal_obeys() -> None:
    drawn = texts(draw(Excerpt("def f():\n    return 1\x1b]0;title\x07\x1b[31m[red]"), 40, 5))
    assert drawn == ["def f():", "    return 1[red]"]


def test_an_empty_bin_is_blank() -> None:
    (row,) = texts(draw(Histograms((("x", 0.0, 1.0, (0, 8, 0, 1, 0, 0, 0, 0)),)), 60, 3))
    assert row.startswith("x   █ ▂")
    assert row.endswith("0 to 1")


def test_a_narrow_histogram_keeps_its_bars_and_drops_the_numbers() -> None:
    (row,) = texts(draw(Histograms((("alcohol", -2.1, 2.3, (1, 9) * 8),)), 20, 3))
    assert row.startswith("alcohol  ")
    assert "█" in row
    assert "to" not in row
