"""Views and the table of layers, without an app: they fit, they are true, they stay harmless."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestep.core.protocol.inside import (
    ClassifiedImage,
    ConfusionMatrix,
    DecisionMap,
    FittedLine,
    Histogram,
    LayerRow,
    Mistakes,
    PredictionsTruth,
    ViewResult,
    WrittenText,
    compare,
)
from fivestep.tui.render.glyphs import GLYPHS, plain
from fivestep.tui.render.layer_table import layer_table
from fivestep.tui.render.pictures import draw_view
from fivestep.tui.render.spans import Line, line_width

from ..conftest import text, texts

ANY = st.floats(allow_nan=True, allow_infinity=True)
CHANCE = st.floats(0, 1) | st.just(math.nan)
NAME = st.text(max_size=9) | st.sampled_from(
    [
        "\x1b]0;title\x07",
        "[bold]",
        "[@click=app.quit]x[/]",
        "\x9b31m",
        "a\rb\nc",
        "数字",
        "\u202eno",
    ]
)
NAMES = st.lists(NAME, min_size=1, max_size=8).map(tuple)
SIZES = {"wide": st.integers(0, 130), "high": st.integers(0, 40), "ascii": st.booleans()}


def styled(lines: list[Line]) -> list[tuple[str, str]]:
    return [run for row in lines for run in row]


@st.composite
def decision_maps(draw: Any) -> DecisionMap:
    columns, rows, names = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(NAMES)
    cells = columns * rows
    classes = st.lists(st.integers(-1, len(names) - 1), min_size=cells, max_size=cells)
    chances = st.lists(CHANCE, min_size=cells, max_size=cells)
    points = st.lists(st.tuples(ANY, ANY, st.integers(0, len(names) - 1)), max_size=20)
    edges = st.tuples(ANY, ANY)
    return DecisionMap(
        draw(edges),
        draw(edges),
        columns,
        rows,
        tuple(draw(classes)),
        tuple(draw(chances)),
        tuple(draw(points)),
        names,
    )


@st.composite
def several_mistakes(draw: Any) -> Mistakes:
    tall, wide, names = draw(st.integers(1, 32)), draw(st.integers(1, 32)), draw(NAMES)
    image = tuple((draw(ANY),) * wide for _ in range(tall))
    number = st.integers(-1, 9)
    one = st.builds(ClassifiedImage, st.just(image), number, number, CHANCE, ANY)
    shown = draw(st.lists(one, max_size=24))
    return Mistakes(tuple(shown), draw(st.integers(0, 9)), 99, draw(NAME), names)


@st.composite
def matrices(draw: Any) -> ConfusionMatrix:
    names = draw(st.lists(NAME, min_size=1, max_size=40).map(tuple))
    size = len(names)
    row = st.lists(st.integers(0, 10**7), min_size=size, max_size=size).map(tuple)
    counts = tuple(draw(row) for _ in range(size))
    samples = draw(st.integers(0, 99))
    return ConfusionMatrix(counts, tuple(range(size)), 0, samples, draw(NAME), names)


POINTS = st.lists(st.tuples(ANY, ANY), max_size=20).map(tuple)
LINES = st.lists(ANY, max_size=20).flatmap(
    lambda y: st.builds(
        FittedLine, st.just(tuple(map(float, range(len(y))))), st.just(tuple(y)), POINTS
    )
)
PICTURES = (
    decision_maps()
    | several_mistakes()
    | matrices()
    | LINES
    | st.builds(PredictionsTruth, POINTS, ANY, ANY, st.integers(0, 10**6), NAME)
    | st.builds(WrittenText, NAME, st.text(max_size=200), CHANCE, st.booleans())
)


def assert_fits(drawn: list[Line], wide: int, high: int) -> None:
    assert len(drawn) <= high
    assert all(line_width(row) <= wide for row in drawn)
    for row in texts(drawn):
        assert all(char >= " " and not "\x7f" <= char <= "\x9f" for char in row)
        assert "\u202e" not in row


@settings(max_examples=60, deadline=None)
@given(picture=PICTURES, **SIZES)
def test_any_picture_stays_in_its_panel_and_harmless(
    picture: ViewResult, wide: int, high: int, ascii: bool
) -> None:
    drawn = draw_view(picture, wide, high, ascii=ascii, blocks=not ascii)
    assert_fits(drawn, wide, high)
    assert bool(drawn) == (wide > 0 and high > 0)


MAP = DecisionMap(
    x=(-1.0, 1.0),
    y=(-1.0, 1.0),
    columns=4,
    rows=2,
    classes=(0, 0, 1, 1, 0, 0, 2, -1),
    confidence=(1.0, 0.5, 0.5, 1.0) * 2,
    points=((-0.9, 0.9, 0), (0.9, 0.9, 1), (0.9, -0.9, 2)),
    names=("left", "right", "[red]"),
)


def test_classes_on_a_map_differ_by_glyph_and_ground_and_are_named() -> None:
    head, *drawn, legend = texts(draw_view(MAP, 60, 12))
    assert "67 % sure" in head
    ground = [row[20:40] for row in drawn]  # 10 rows: as wide as 20 cells
    assert [ground[3][:5], ground[3][5:15], ground[3][15:]] == ["·····", " " * 10, ":" * 5]
    assert ground[-2][-5:] == "✗✗✗✗✗"
    assert GLYPHS[0] in "".join(ground[:3])
    assert legend.split() == ["●··", "left", "+::", "right", "×--", "[red]"]
    assert set("".join(texts(draw_view(MAP, 60, 4)))) >= {GLYPHS[0], GLYPHS[1], GLYPHS[2]}


def test_a_map_in_half_blocks_has_two_pixels_a_cell_and_is_fainter_where_it_is_unsure() -> None:
    head, *drawn, legend = draw_view(MAP, 60, 12, blocks=True)
    assert "fainter: less sure" in text([head])
    assert ("▀" * 5, "map-03-03") in drawn[3]
    cells = [style for part, style in drawn[1] for _ in part if style]
    assert cells[5:10] == ["map-01-01"] * 5  # half sure, of three classes
    assert text(drawn).count("✗") == 5 * 5 - 1  # a point is on one
    (point,) = [style for part, style in drawn[0] if part == GLYPHS[0]]
    assert point == "dot-0-03"
    assert text([legend]).split() == ["●▀▀", "left", "+▀▀", "right", "×▀▀", "[red]"]


@pytest.mark.parametrize("wide", [24, 30, 50, 60, 78, 120])
def test_captions_are_cut_at_no_width(wide: int) -> None:
    written = WrittenText("if x", ": pass", 0.8)
    for picture in (MAP, written, PredictionsTruth(((0.0, 1.0),) * 3, 0.5, 0.1, 3, "test")):
        for blocks in (False, True):
            assert "…" not in texts(draw_view(picture, wide, 12, blocks=blocks))[0]


def test_more_classes_than_glyphs_are_letters() -> None:
    many = replace(MAP, names=tuple(f"class {i}" for i in range(9)), points=((0.9, 0.9, 7),))
    drawn = "".join(texts(draw_view(replace(many, classes=(7,) * 8), 60, 12))[1:-1])
    assert set(drawn) == {"H", "h", " "}


def test_features_of_unlike_units_fill_the_panel() -> None:
    drawn = texts(draw_view(replace(MAP, y=(0.0, 900.0)), 60, 12))
    assert len(drawn[1]) == 60


FIT = FittedLine((0.0, 1.0, 2.0, 3.0), (0.0, 1.0, 2.0, 3.0), ((0.0, 0.5), (3.0, 2.5)))


def test_a_fitted_line_is_drawn_between_axes() -> None:
    drawn = draw_view(FIT, 60, 12)
    assert texts(drawn)[0] == "· 2 points  ━ what the model predicts"
    assert texts(drawn)[-1].split() == ["0", "3"]
    assert {"train", "val", "dim"} <= {style for _, style in styled(drawn[1:])}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0.0, math.nan, math.inf, 3.0), "✗ 2 values NaN or infinite"),
        ((900.0, 901.0, 902.0, 903.0), "out of sight: 900.0 to 903.0"),
    ],
)
def test_what_can_not_be_drawn_of_a_line_is_said(values: tuple[float, ...], said: str) -> None:
    assert said in texts(draw_view(replace(FIT, y=values), 90, 12))[0]


def test_predictions_say_how_good_they_are() -> None:
    picture = PredictionsTruth(((0.0, 0.1), (1.0, 1.1), (2.0, 99.0)), 0.87, 0.1, 3, "validation")
    drawn = texts(draw_view(picture, 80, 12))
    assert drawn[0] == "R² 0.8700  mean error 0.1000  3 validation samples"
    assert "1 further out" in drawn[1]


BOX = tuple(tuple(float(x == y) for x in range(8)) for y in range(8))
WRONG = Mistakes(
    (
        ClassifiedImage(BOX, 4, 9, 0.8, 3.0),
        ClassifiedImage(BOX, 1, 1, 0.51, 0.7),
        ClassifiedImage(BOX, 1, -1, 0.0, 9.0),
    ),
    wrong=2,
    samples=180,
    part="validation",
    names=tuple("0123456789"),
)


def test_a_mistake_says_what_it_is_taken_for_and_what_it_is() -> None:
    drawn = draw_view(WRONG, 60, 14)
    assert texts(drawn)[0] == "2 wrong of 180 validation images, worst first"
    assert texts(draw_view(WRONG, 30, 14))[0] == "2 wrong of 180, worst first"  # no word is cut
    assert "✗ 9, is 4" in texts(drawn)[-1]
    assert "✔ 1 51 %" in texts(drawn)[-1]
    assert "✗ NaN, is 1" in texts(drawn)[-1]
    captions = [style for text, style in drawn[-1] if "is" in text]
    assert set(captions) == {"bad"}
    assert any(style.startswith("ink-") for _, style in styled(drawn))
    right = replace(WRONG, shown=WRONG.shown[1:2], wrong=0)
    assert texts(draw_view(right, 60, 14))[0].startswith("none wrong of 180")


def test_images_need_no_more_than_ascii() -> None:
    drawn = texts(draw_view(WRONG, 60, 14, ascii=True))
    assert "@@" in "".join(drawn)
    assert all(plain(text).isascii() for text in drawn)


TABLE = ConfusionMatrix(
    ((11, 0, 2), (1, 9, 0), (0, 0, 30)), (0, 1, 2), 50, 53, "test", ("a", "b", "c")
)


def test_a_confusion_matrix_has_its_mistakes_off_the_diagonal() -> None:
    head, columns, *rows = draw_view(TABLE, 60, 14)
    assert texts([head]) == ["94.3 % right  3 wrong of 53 test samples"]
    assert texts([columns])[0].split() == ["true", "↓", "predicted", "→", "a", "b", "c", "right"]
    assert [text.split() for text in texts(rows)] == [
        ["a", "11", "·", "2", "85", "%"],
        ["b", "1", "9", "·", "90", "%"],
        ["c", "·", "·", "30", "100", "%"],
    ]
    marks = {text.strip(): style for text, style in styled(rows)}
    assert (marks["11"], marks["2"], marks["1"]) == ("good", "bad", "bad")


def test_without_room_the_classes_with_most_mistakes_are_shown() -> None:
    size = 30
    counts = [[9 * (i == j) for j in range(size)] for i in range(size)]
    counts[20][7] = 5
    big = ConfusionMatrix(
        tuple(map(tuple, counts)),
        tuple(range(size)),
        270,
        275,
        "test",
        tuple(map(str, range(size))),
    )
    drawn = texts(draw_view(big, 60, 8))
    assert len(drawn) == 8
    assert {"7", "20"} <= set(drawn[1].split())
    assert "more classes" in drawn[-1]


def test_a_written_text_is_set_off_from_its_prompt() -> None:
    picture = WrittenText("if x", ":\n    return [bold]\x1b[31m" + " word" * 30, 0.8)
    drawn = draw_view(picture, 30, 14)
    faint = "".join(text for text, style in styled(drawn[1:]) if style == "dim")
    assert faint.replace(" ", "") == "…ifx"
    assert "return [bold]" in "\n".join(texts(drawn))
    assert "✗" in "".join(texts(draw_view(replace(picture, bad=True), 60, 14)))


# The table of layers.

SPREAD = Histogram(-1.0, 1.0, (0, 1, 2, 4, 8) * 4)
LAYERS = (
    LayerRow("features.0", "Conv2d", "20x1x3x3", 200, 2.733, 0.582, 10**-3.2, 0.5, None, SPREAD),
    LayerRow("features.2", "ReLU", dead_share=0.25),
    LayerRow("head", "Linear", "10x160", 1610, 1.865, None, 10.0),
    LayerRow("old", "Linear", "2x2", 4, 1.0, None, frozen=True),
)


def columns(drawn: list[Line], name: str) -> list[str]:
    """The cells of a layer's row."""
    return next(text for text in texts(drawn) if text.startswith(name)).split()


def test_a_layer_shows_norms_update_dead_units_and_spread() -> None:
    drawn = layer_table(LAYERS, 140, 20)
    first = texts(drawn)[1]
    cells = "features.0 Conv2d 20x1x3x3 200 2.733 0.5820 0.063 % ····●│·····".split()
    assert first.split()[: len(cells)] == cells
    assert first.rstrip()[-4:] == "▁▂▄▇"
    assert columns(drawn, "features.2") == ["features.2", "ReLU", "25", "%"]
    assert columns(drawn, "head")[4:6] == ["1.865", "none"]
    assert columns(drawn, "head")[-1] == "·····│····>"
    assert "frozen" in columns(drawn, "old")
    assert len({len(text) for text in texts(drawn)}) == 1


@pytest.mark.parametrize("wide", [20, 32, 50, 60, 80, 96])
def test_narrow_tables_keep_the_name_and_the_gradient(wide: int) -> None:
    head, first, *_ = texts(layer_table(LAYERS, wide, 20))
    assert head.startswith("layer")
    assert "‖grad‖" in head
    assert first.startswith("features.0")
    assert "0.5820" in first


@pytest.mark.parametrize("wide", [46, 60, 76, 116])
def test_long_names_lose_their_middle_and_numbers_nothing(wide: int) -> None:
    name = "transformer.h.0.attn.c_attn"
    rows = tuple(
        replace(LAYERS[0], name=name.replace("0", str(i)), kind="Linear") for i in range(12)
    )
    head, first, *_, last = texts(layer_table(rows, wide, 20))
    numbers = ["2.733", "0.5820", "0.063"]
    assert [cell for cell in first.split() if cell in numbers] == numbers
    assert head.split()[:1] == ["layer"]
    assert "‖update‖/‖w‖" in head
    shown = first.split()[0]
    start, _, end = shown.partition("…")
    assert name.startswith(start)
    assert name.endswith(end)
    assert (shown == name) == (wide >= 76)
    assert wide < 76 or "11" in last.split()[0]  # which block it is can be told


def test_a_long_table_is_scrolled_and_says_what_is_left() -> None:
    rows = tuple(replace(LAYERS[0], name=f"layer {i}") for i in range(30))
    drawn = texts(layer_table(rows, 80, 10))
    assert drawn[1].startswith("layer 0 ")
    assert drawn[-1] == "… 22 more below"
    drawn = texts(layer_table(rows, 80, 10, first=25))
    assert drawn[-1].startswith("layer 29 ")
    assert len(drawn) == 10


def test_a_step_shows_before_and_after_side_by_side() -> None:
    before = (replace(LAYERS[0], grad_norm=None, editions=(0, 0)), LAYERS[1], LAYERS[2])
    filled = (replace(LAYERS[0], editions=(0, 1)), LAYERS[1], LAYERS[2])
    drawn = layer_table(filled, 90, 9, differences=compare(before, filled))
    assert columns(drawn, "features.0")[1:] == "Conv2d none → 0.582000 2.73300 filled".split()
    assert not any(text.startswith("features.2") for text in texts(drawn))  # it has no weights
    moved = (replace(filled[0], weight_norm=2.7331, editions=(1, 1)), *filled[1:])
    drawn = layer_table(moved, 60, 9, differences=compare(filled, moved))
    assert columns(drawn, "features.0")[1:] == "2.73300 → 2.73310 moved".split()
    drawn = layer_table(moved, 100, 9, differences=compare(filled, moved))
    assert columns(drawn, "features.0")[-3:] == ["0.063", "%", "0.50"]


NORMS = st.none() | ANY
ROWS = st.lists(
    st.builds(
        LayerRow,
        NAME,
        NAME,
        NAME,
        st.integers(0, 10**12),
        NORMS,
        NORMS,
        NORMS,
        NORMS,
        st.none() | st.floats(0, 1),
        st.none()
        | st.builds(
            Histogram, ANY, ANY, st.tuples(*[st.integers(0, 9**9)] * 20), st.integers(0, 3)
        ),
        st.none(),
        NAME,
        st.booleans(),
    ),
    max_size=12,
).map(tuple)


@settings(max_examples=40, deadline=None)
@given(before=ROWS, after=ROWS, first=st.integers(-3, 30), **SIZES)
def test_any_table_stays_in_its_panel_and_harmless(
    before: tuple[LayerRow, ...],
    after: tuple[LayerRow, ...],
    first: int,
    wide: int,
    high: int,
    ascii: bool,
) -> None:
    differences = compare(before, after)
    for shown in ((), differences):
        drawn = layer_table(after, wide, high, differences=shown, first=first)
        assert_fits(drawn, wide, high)
        assert not ascii or all(plain(text).isascii() for text in texts(drawn))
