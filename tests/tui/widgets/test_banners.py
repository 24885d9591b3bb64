"""What stands in bars above the panels: notices and verdicts."""

from __future__ import annotations

from dataclasses import replace

from fivestep.core.protocol.diagnosis import Verdict
from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.snapshot import Change
from fivestep.core.protocol.steps import State, Step
from fivestep.tui.widgets.banners import NoticeBar, VerdictBar, in_full

from ..conftest import picture, text


def test_notices_say_what_is_wrong_and_what_to_do() -> None:
    bar = NoticeBar()
    bar.take(picture(faults=(Fault.NO_STEP, Fault.LR_TIMES_100), undo=True))
    bar.wanted = frozenset((Fault.NO_STEP, Fault.LR_TIMES_100))
    (row,) = text(bar.lines(100, 2)).splitlines()
    assert row.strip() == "✗ BROKEN ON PURPOSE: step left out, lr ×100  —  u undoes"
    narrow = text(bar.lines(40, 2))
    assert narrow.endswith("u undoes ")
    assert len(narrow) == 40
    bar.wanted = frozenset()
    assert "undone before the next batch" in text(bar.lines(100, 2))
    bar.ended = True  # there is no way back any more
    assert text(bar.lines(100, 2)).strip() == "✗ BROKEN ON PURPOSE: step left out, lr ×100"

    bar, change = NoticeBar(), Change(0.0, 1, 301, "breakpoint loss > 3 (loss 3.2)", "break")
    held = picture(state=State.PAUSED, changes=(change,))
    for snapshot, shown in (
        (held, True),
        (replace(held, elapsed=99.0), True),
        (replace(held, step=Step.UPDATE), False),  # a step was taken
        (held, False),
    ):
        bar.take(snapshot)
        assert ("PAUSED by breakpoint loss > 3 (loss 3.2)" in text(bar.lines(100, 2))) is shown


def test_the_worst_verdict_is_told_and_the_others_are_counted() -> None:
    first = Verdict("lr too high", "danger", "the loss explodes", "updates too far", "lower the lr")
    second = Verdict("data-bound", "note", "it waits for data", "it could be faster", "workers")
    bar = VerdictBar()
    bar.show((first, second))
    assert "✗ the loss explodes: updates too far" in text(bar.lines(100, 2))
    assert "try: lower the lr" in text(bar.lines(100, 2))
    assert "+1 more" in text(bar.lines(100, 2))
    assert "the loss explodes  try: lower the lr" in text(bar.lines(80, 1))
    bar.show(())
    assert "nothing wrong any more" in text(bar.lines(80, 1))
    page = text(in_full((first, second), 60))
    assert "danger: the loss explodes" in page
    assert "why it could be faster" in page
    assert "try workers" in page
    assert "Nothing is wrong" in text(in_full((), 60))
