"""Commands are checked when they are made, and arrive in order."""

from __future__ import annotations

import math
import threading

import pytest

from fivestep.core.protocol.commands import Control, Pause, Resume, ScaleLR, SetSpeed, Validate


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_a_speed_or_factor_that_makes_no_sense_is_refused(value):
    with pytest.raises(ValueError, match="above 0"):
        SetSpeed(value)
    with pytest.raises(ValueError, match="above 0"):
        ScaleLR(value)


def test_commands_arrive_once_and_in_order():
    control = Control()
    assert not control.attention
    control.send(Pause())
    control.send(Resume())
    assert control.attention
    assert control.take() == [Pause(), Resume()]
    assert not control.attention
    assert control.take() == []


def test_a_command_or_a_poke_wakes_whoever_waits():
    for wake in (lambda c: c.send(Validate()), lambda c: c.poke()):
        control = Control()
        threading.Timer(0.01, wake, [control]).start()
        assert control.wait(20)
    assert not Control().wait(0.001)


def test_commands_from_many_threads_are_all_taken():
    control = Control()
    threads = [
        threading.Thread(target=lambda: [control.send(Pause()) for _ in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    taken = 0
    while any(thread.is_alive() for thread in threads) or control.attention:
        taken += len(control.take())
    assert taken == 800
