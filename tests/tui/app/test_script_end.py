"""What is said once the screen of a script was left, and the exit code."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fivestep.core.protocol.snapshot import Outcome
from fivestep.core.protocol.steps import State
from fivestep.tui.app.script import tell_the_end


@pytest.mark.parametrize(
    ("outcome", "code", "told"),
    [
        (None, 0, "the script goes on, process 5; to come back: fivestep attach one"),
        (Outcome(State.FAILED, "no more memory"), 1, "the script's process 5 has not ended yet"),
        (Outcome(State.FINISHED, "done"), 0, "the script's process 5 has not ended yet"),
    ],
)
def test_only_a_script_that_trains_goes_on(
    outcome: Outcome | None, code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    script: Any = SimpleNamespace(process=5, exit_code=None, tail=b"", wait=lambda seconds: None)
    remote: Any = SimpleNamespace(
        name="one", outcome=outcome, lost=False, latest=lambda: None, close=lambda: None
    )
    assert tell_the_end(script, remote) == code
    assert capsys.readouterr().out == told + "\n"
