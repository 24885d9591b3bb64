"""What a terminal is told when a run needs a person."""

from __future__ import annotations

import io

import pytest

from fivestep.core.protocol.diagnosis import Verdict
from fivestep.core.protocol.snapshot import Change, Outcome
from fivestep.core.protocol.steps import State
from fivestep.tui.terminal.alerts import Alerts

from ..conftest import NOON, picture

FAILED = Outcome(State.FAILED, "loss is nan", "epoch 1, batch 2, loss")


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def told(self) -> list[str]:
        """The notifications since the last call, each with its bell."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return [one.partition("\x07")[0] for one in text.split("\x07\x1b]9;fivestep: ")[1:]]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    return FakeTerminal()


def test_it_rings_once_for_each_thing_that_needs_a_person(terminal: FakeTerminal) -> None:
    alerts = Alerts("mine", [io.StringIO(), terminal])
    alerts.take(picture(301))  # what happened before is old
    assert terminal.told() == []
    held = picture(302, trouble=FAILED)
    alerts.take(held)
    alerts.take(held)
    assert terminal.told() == ["mine: loss is nan"]
    broke = Change(NOON + 30, 6, 303, "breakpoint: loss > 1", "break")
    back = Change(NOON + 31, 6, 303, "went back", "rewind")
    after = picture(303, changes=(*picture(303).changes, broke, back))
    alerts.take(after)
    alerts.take(after)
    assert terminal.told() == ["mine: breakpoint: loss > 1"]  # somebody pressed g
    alerts.judged((Verdict("r", "warning", "it does not learn", "why", "next"),))
    alerts.ended(Outcome(State.STOPPED, "by hand"))
    alerts.ended(Outcome(State.FINISHED, "20 epochs trained"))
    assert terminal.told() == ["mine: it does not learn", "mine: finished: 20 epochs trained"]


def test_without_anybody_to_ask_going_back_is_news(terminal: FakeTerminal) -> None:
    alerts = Alerts("mine", [terminal], alone=True)
    alerts.take(picture(301))
    back = Change(NOON + 31, 6, 303, "went back", "rewind")
    alerts.take(picture(303, changes=(*picture(303).changes, back)))
    assert terminal.told() == ["mine: went back"]


def test_what_is_told_can_do_nothing_to_the_terminal(
    terminal: FakeTerminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = Outcome(State.FAILED, "a\x1b]52;c;eA==\x07b\x9c;notify;c" + "x" * 1000)
    Alerts("n\x07ame", [terminal]).ended(hostile)
    written = terminal.getvalue()
    assert written.count("\x1b") == 2  # OSC 9 and OSC 777
    assert written.count("\x07") == 3
    assert len(written) < 600
    assert "777;notify;fivestep;name: failed" in written
    terminal.told()
    monkeypatch.setenv("TERM", "xterm-kitty")  # takes both kinds, and would tell twice
    Alerts("name", [terminal]).ended(hostile)
    assert terminal.getvalue().count("\x1b") == 1
    terminal.told()
    monkeypatch.setenv("TERM", "dumb")
    Alerts("name", [terminal]).ended(hostile)
    assert terminal.getvalue() == ""
