"""Commands are checked when they are made, and arrive in order."""

from __future__ import annotations

import math
import threading

import pytest

from fivestep.core.protocol.commands import Pause, Resume, ScaleLR, SetSpeed, Validate
from fivestep.core.session.mailbox import Mailbox


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_a_speed_or_factor_that_makes_no_sense_is_refused(value):
    with pytest.raises(ValueError, match="above 0"):
        SetSpeed(value)
    with pytest.raises(ValueError, match="above 0"):
        ScaleLR(value)


def test_commands_arrive_once_and_in_order():
    mailbox = Mailbox()
    assert not mailbox.attention
    mailbox.send(Pause())
    mailbox.send(Resume())
    assert mailbox.attention
    assert [mailbox.next_command() for _ in range(3)] == [Pause(), Resume(), None]


def test_a_command_or_a_poke_wakes_whoever_waits():
    for wake in (lambda m: m.send(Validate()), lambda m: m.poke()):
        mailbox = Mailbox()
        threading.Timer(0.01, wake, [mailbox]).start()
        assert mailbox.wait(20)
    assert not Mailbox().wait(0.001)


def test_commands_from_many_threads_all_arrive():
    mailbox = Mailbox()
    threads = [
        threading.Thread(target=lambda: [mailbox.send(Pause()) for _ in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    arrived = 0
    while any(thread.is_alive() for thread in threads) or mailbox.attention:
        mailbox.attention = False
        while mailbox.next_command() is not None:
            arrived += 1
    assert arrived == 800


def test_a_command_that_comes_while_a_picture_is_built_is_answered_by_another_picture():
    mailbox = Mailbox()
    mailbox.ask(curves=True)
    assert mailbox.next_command() is None  # the gate has taken what there was
    mailbox.send(Pause())
    assert mailbox.begin_snapshot()
    assert mailbox.wanted
    assert mailbox.next_command() == Pause()
    assert not mailbox.begin_snapshot()
    assert not mailbox.wanted
