"""New sizes of the window are shown at once, and in a storm as often as the run can bear."""

from __future__ import annotations

from fivestep.tui.watch.pace import LONGEST, RESIZING_BUDGET, Resizing


def test_a_size_now_and_then_is_shown_at_once() -> None:
    now, used = [100.0], [5.0]
    sizes = Resizing(lambda: now[0], lambda: used[0])
    for _ in range(10):
        assert sizes.wait() == 0
        now[0] += 2.0
        used[0] += 0.05


def test_a_storm_waits_until_the_last_size_is_paid_for() -> None:
    now, used = [100.0], [5.0]
    sizes = Resizing(lambda: now[0], lambda: used[0])
    assert sizes.wait() == 0
    now[0] += 0.1
    used[0] += 0.04
    wait = sizes.wait()
    assert abs(wait - (0.04 / RESIZING_BUDGET - 0.1)) < 1e-9
    now[0] += wait + 1e-9
    assert sizes.wait() == 0


def test_nobody_waits_for_ever() -> None:
    now, used = [100.0], [5.0]
    sizes = Resizing(lambda: now[0], lambda: used[0])
    assert sizes.wait() == 0
    used[0] += 1000.0
    assert sizes.wait() == LONGEST
