"""New sizes of the window are shown at once, and in a storm as often as the run can bear."""

from __future__ import annotations

import pytest

from fivestep.tui.watch.pace import RESIZING_BUDGET, SETTLED, Resizing


def test_a_size_now_and_then_is_shown_at_once() -> None:
    now, used = [100.0], [5.0]
    sizes = Resizing(lambda: now[0], lambda: used[0])
    for _ in range(10):
        assert sizes.wait() == 0
        now[0] += 2.0
        used[0] += 0.05


def test_in_a_storm_a_size_is_shown_once_the_one_before_is_paid_for() -> None:
    now, used = [100.0], [5.0]
    sizes = Resizing(lambda: now[0], lambda: used[0])
    assert sizes.wait() == 0
    used[0] += 0.04
    for _ in range(15):
        now[0] += 0.05
        assert 0 < sizes.wait() <= SETTLED
    now[0] += 0.05 + 1e-9
    assert now[0] - 100 >= 0.04 / RESIZING_BUDGET
    assert sizes.wait() == 0


def test_the_last_of_many_is_shown_soon_whatever_it_costs() -> None:
    now, used = [100.0], [5.0]
    sizes = Resizing(lambda: now[0], lambda: used[0])
    assert sizes.wait() == 0
    used[0] += 1000.0
    assert sizes.wait() == SETTLED
    now[0] += SETTLED
    assert sizes.wait(SETTLED) == 0
    assert sizes.wait() == 0


def test_a_size_that_came_while_the_screen_was_busy_has_waited_already() -> None:
    now, used = [100.0], [5.0]
    sizes = Resizing(lambda: now[0], lambda: used[0])
    assert sizes.wait() == 0
    used[0] += 0.2
    now[0] += 0.2
    assert sizes.wait(0.4 * SETTLED) == pytest.approx(0.6 * SETTLED)
    assert sizes.wait(3 * SETTLED) == 0
