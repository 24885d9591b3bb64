"""Charts as pure functions: they fit, keep spikes, and show what is not a number."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestep.core.protocol.snapshot import Curve
from fivestep.tui.render.charts import (
    ChartSeries,
    ChartView,
    Mark,
    Scale,
    chart,
    nice_ticks,
    sparkline,
    thinned,
)
from fivestep.tui.render.spans import line_width

from ..conftest import texts

ANY = st.floats(allow_nan=True, allow_infinity=True)


def curve(values: list[float]) -> Curve:
    fine = tuple(v if math.isfinite(v) else None for v in values)
    x = tuple(float(i + 1) for i in range(len(values)))
    return Curve(x, fine, fine, fine, tuple(int(v is None) for v in fine))


@given(st.lists(ANY, max_size=300), st.integers(1, 200), st.integers(1, 3))
def test_a_sparkline_fits_and_marks_what_is_no_number(
    values: list[float], cells: int, height: int
) -> None:
    rows = sparkline(values, cells, height)
    assert len(rows) == height
    assert all(line_width(row) == cells for row in rows)
    bad = sum(not math.isfinite(v) for v in values[-cells:])
    assert "".join(texts(rows)).count("✗") == bad


def test_a_sparkline_keeps_a_spike() -> None:
    (row,) = texts(sparkline([0.1] * 30 + [9.0] + [0.1] * 10, 60))
    assert row[30] == "█"
    assert set(row[:30]) == {"▁"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(ANY, max_size=60),
    st.integers(1, 200),
    st.integers(1, 40),
    st.booleans(),
    st.booleans(),
)
def test_a_chart_fits_whatever_it_is_given(
    values: list[float], cells: int, height: int, log: bool, ascii: bool
) -> None:
    series = [
        ChartSeries(curve(values), "train"),
        ChartSeries(curve(values[::7]), "val", mark="◆", line=False),
    ]
    rows = chart(series, cells, height, ChartView(log=log, ascii=ascii), [Mark(3, "lr ÷2")])
    assert len(rows) == height
    assert all(line_width(row) == cells for row in rows)


@pytest.mark.parametrize("cells", range(1, 201, 9))
def test_a_chart_of_ordinary_losses_at_every_width(cells: int) -> None:
    losses = [2.0 * math.exp(-i / 50) for i in range(400)]
    for height in (1, 3, 4, 8, 20):
        rows = chart([ChartSeries(curve(losses), "train")], cells, height)
        assert [line_width(row) for row in rows] == [cells] * height


@pytest.mark.parametrize("values", [[], [1.0], [2.0] * 50, [1e308, -1e308], [5e-324, 1e-300]])
def test_a_chart_of_odd_values(values: list[float]) -> None:
    for log in (False, True):
        assert len(chart([ChartSeries(curve(values), "train")], 60, 12, ChartView(log=log))) == 12


def test_an_empty_chart_says_so() -> None:
    assert "no values yet" in "".join(texts(chart([ChartSeries(curve([]), "train")], 60, 12)))


def test_a_spike_shows_in_a_long_run() -> None:
    values = [0.1] * 5000
    values[2500] = 3.0
    rows = chart([ChartSeries(curve(values), "train")], 60, 14)
    middle = [row for row, text in zip(rows, texts(rows), strict=True) if text.strip(" │┤")]
    tall = [row for row in middle if any(style == "train-range" for _, style in row)]
    assert len(tall) >= 9


def test_bad_values_are_marked_and_counted() -> None:
    values = [0.5] * 100
    values[50] = math.nan
    values[51] = math.inf
    top = texts(chart([ChartSeries(curve(values), "train")], 60, 12))[0]
    assert top.lstrip().startswith("2 ✗")
    assert "✗" in top[30:45]


def test_changes_by_hand_are_marked_below() -> None:
    rows = texts(
        chart([ChartSeries(curve([0.5] * 100), "train")], 60, 12, None, [Mark(50, "lr ÷2")])
    )
    (marked,) = [row for row in rows if "▲" in row]
    assert "▲ lr ÷2" in marked


def test_validation_is_marks_that_leave_the_training_loss_to_be_seen() -> None:
    train = ChartSeries(curve([2 / (i + 1) for i in range(400)]), "train")
    val = ChartSeries(curve([1.9 / (i + 1) for i in range(0, 400, 10)]), "val", "◆", line=False)
    rows = chart([train, replace(val, curve=replace(val.curve, x=train.curve.x[::10]))], 60, 14)
    drawn = [(style, char) for row in rows for text, style in row for char in text]
    marks = [char for style, char in drawn if style == "val" and char != " "]
    assert set(marks) == {"◆"}
    assert 10 <= len(marks) <= 15  # one in four cells
    without = chart([train], 60, 14)
    whole = [char for row in without for text, style in row for char in text if style == "train"]
    seen = [char for style, char in drawn if style == "train" and char != " "]
    assert len(seen) >= len([char for char in whole if char != " "]) - len(marks)


def test_ascii_charts_are_ascii_but_for_the_frame() -> None:
    rows = texts(
        chart([ChartSeries(curve([1.0, 2.0, 3.0]), "train")], 40, 10, ChartView(ascii=True))
    )
    assert "".join(rows).translate(str.maketrans("", "", "│┤└─┬")).isascii()


def test_a_span_shows_those_batches_only() -> None:
    values = [5.0] * 50 + [1.0, 2.0] * 25
    text = "\n".join(
        texts(chart([ChartSeries(curve(values), "train")], 60, 12, ChartView(span=(51, 100))))
    )
    assert "5┤" not in text
    assert "2┤" in text


@given(st.lists(ANY, min_size=1, max_size=200), st.integers(1, 60))
def test_thinning_keeps_extremes_and_bad_points(values: list[float], most: int) -> None:
    before, after = curve(values), thinned(curve(values), most)
    assert len(after.x) <= max(most, 1)
    assert sum(after.bad) == sum(before.bad)
    fine = [v for v in values if math.isfinite(v)]
    if fine:
        assert max(v for v in after.high if v is not None) == max(fine)
        assert min(v for v in after.low if v is not None) == min(fine)


@pytest.mark.parametrize(
    "values",
    [[1e34, 2.4e35], [1e-9, 3.5e-9], [1.00001, 1.00002], [123456.0, 123461.0], [0.1, 0.7]],
)
def test_labels_beside_the_axis_differ_and_do_not_touch(values: list[float]) -> None:
    rows = texts(chart([ChartSeries(curve(values * 30), "train")], 70, 14))
    labelled = [(i, row.partition("┤")[0].strip()) for i, row in enumerate(rows) if "┤" in row]
    assert len(labelled) >= 2
    assert len({float(label) for _, label in labelled}) == len(labelled)
    assert all(below - above > 1 for (above, _), (below, _) in pairwise(labelled))


def test_the_axis_says_what_it_counts() -> None:
    losses = [1 / (i + 1) for i in range(1000)]
    rows = texts(chart([ChartSeries(curve(losses), "train")], 60, 14))
    assert rows[-1].endswith(" batches")
    assert re.search(r"\d{3}  +batches$", rows[-1])
    narrow = texts(chart([ChartSeries(curve(losses), "train")], 22, 8))
    assert "batches" not in narrow[-1]
    assert "500" in narrow[-1]


def test_few_epochs_are_all_on_the_axis() -> None:
    losses = ChartSeries(curve([0.5, 0.4, 0.3]), "train")
    rows = texts(chart([losses], 60, 14, ChartView(across="epochs")))
    assert re.search(r"1 +2 +3 epochs$", rows[-1])


def test_ticks_are_round() -> None:
    assert nice_ticks(Scale(0.06, 2.3), 5) == [0.5, 1.0, 1.5, 2.0]
    assert nice_ticks(Scale(0.01, 10, log=True), 4) == pytest.approx([0.01, 0.1, 1, 10])
    assert nice_ticks(Scale(1, 3), 9, whole=True) == [1, 2, 3]


def test_the_words_of_two_marks_never_run_into_each_other() -> None:
    for first in range(1, 100):
        marks = [Mark(first, "resumed"), Mark(98, "went back")]
        rows = texts(chart([ChartSeries(curve([0.5] * 100), "train")], 60, 12, None, marks))
        (row,) = (row for row in rows if "▲" in row)
        assert set(re.sub(r"\b(resumed|went back)\b", "", row.partition("│")[2])) <= set(" ▲")
