"""Series keep the whole run in bounded memory, and lose neither a spike nor a NaN."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestep.core.session.series import RECENT, Series


@settings(max_examples=80, deadline=None)
@given(
    values=st.lists(st.floats(width=32), min_size=1, max_size=300),
    buckets=st.integers(2, 40),
    peek=st.integers(1, 50),
)
def test_every_point_is_in_exactly_one_bucket(values, buckets, peek):
    series = Series(buckets=buckets)
    for i, value in enumerate(values, 1):
        series.add(i, value)
        if i % peek == 0:
            series.curve()  # looking must not change what is kept
    curve = series.curve()
    assert len(curve.x) <= buckets
    assert (
        len({len(curve.x), len(curve.low), len(curve.mean), len(curve.high), len(curve.bad)}) == 1
    )
    assert list(curve.x) == sorted(set(curve.x))
    assert curve.x[-1] == len(values)
    start = 0
    for end, low, mean, high, bad in zip(
        curve.x, curve.low, curve.mean, curve.high, curve.bad, strict=True
    ):
        part = values[start : int(end)]
        fine = [v for v in part if math.isfinite(v)]
        assert bad == len(part) - len(fine)
        assert low == (min(fine) if fine else None)
        assert high == (max(fine) if fine else None)
        if fine:
            assert mean == pytest.approx(sum(fine) / len(fine), rel=1e-9, abs=1e-9)
        start = int(end)


def test_a_spike_and_a_nan_survive_a_long_run():
    series = Series()
    for i in range(1, 200_001):
        series.add(i, 1e6 if i == 1234 else math.nan if i == 99_999 else 0.5)
    curve = series.curve()
    assert max(curve.high) == 1e6
    assert sum(curve.bad) == 1
    assert len(series) == 200_000


def test_recent_points_are_kept_one_by_one():
    series = Series()
    assert series.last is None
    for i in range(2500):  # those that are in buckets already, and those that wait for it
        series.add(i, float(i))
        assert series.recent == tuple(map(float, range(max(0, i + 1 - RECENT), i + 1)))
        assert series.last == i
        if i % 100 == 0:
            again = Series()
            again.restore(series.state())
            assert (again.recent, again.last) == (series.recent, series.last)


def test_neither_looking_nor_saving_changes_a_bit():
    draw = random.Random(1)
    values = [draw.gauss(0, 1) for _ in range(5000)]
    plain, watched = Series(), Series()
    for i, value in enumerate(values):
        plain.add(i, value)
        watched.add(i, value)
        if i % 37 == 0:
            watched.curve()
        if i % 411 == 0:
            state, watched = watched.state(), Series()
            watched.restore(state)
    assert plain.curve() == watched.curve()
    assert plain.recent == watched.recent
    assert len(plain) == len(watched)


def test_a_curve_that_did_not_change_is_the_same_object():
    series = Series()
    series.add(1, 2.0)
    assert series.curve() is series.curve()
