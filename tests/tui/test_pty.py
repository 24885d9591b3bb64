"""The installed command on a real terminal: typed at, looked at, left."""

from __future__ import annotations

import os
import re
import signal

import pytest
from terminal import Terminal


def test_a_newcomer_starts_pauses_steps_steers_and_leaves() -> None:
    with Terminal() as terminal:
        terminal.until("step by step")
        terminal.until("digits-cnn")
        assert "five steps" in terminal.text
        terminal.type("\r")
        terminal.until("the five steps")
        terminal.type(" ")
        paused = terminal.until("PAUSED before")
        place = re.search(r"PAUSED before ([a-z_ ]+), batch", paused)
        assert place is not None
        seen = [place[1]]
        for _ in range(6):
            terminal.type("s")
            terminal.until(lambda text, last=seen[-1]: f"PAUSED before {last}," not in text)
            found = re.search(r"PAUSED before ([a-z_ ]+), batch", terminal.text)
            assert found is not None
            seen.append(found[1])
        assert {"zero_grad", "forward", "loss", "backward", "update"} <= set(seen)
        terminal.type("-")
        terminal.until("lr ÷2 by hand")
        terminal.type("q")
        terminal.until("stop after this batch")
        terminal.keep = True
        terminal.type("l")
        assert terminal.ended() == 0
        for ending in (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l"):
            assert ending in terminal.sent
        assert terminal.attributes == terminal.before
        assert "digits-cnn: stopped after" in terminal.text
        assert "by hand ×0.5" in terminal.text


def test_a_run_named_on_the_command_line_starts_at_once_and_stays_when_it_is_over() -> None:
    with Terminal("train", "line-linear", "--epochs", "3") as terminal:
        terminal.until("FINISHED")
        text = terminal.until("run again")
        assert "3 epochs trained" in text
        terminal.type("r")
        terminal.until(lambda text: text.count("FINISHED") and "run again" in text)
        terminal.type("q")
        assert terminal.ended() == 0
        assert "line-linear: finished after 3 epochs" in terminal.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_the_terminal_as_it_was(number: signal.Signals) -> None:
    with Terminal("train", "digits-cnn", "--epochs", "1000") as terminal:
        terminal.until("RUNNING")
        terminal.keep = True
        os.kill(terminal.process.pid, number)
        assert terminal.ended() == 128 + number
        assert b"\x1b[?1049l" in terminal.sent
        assert terminal.attributes == terminal.before
        assert "stopped after" in terminal.text


def test_ctrl_c_asks_and_a_second_one_stops_but_keeps_the_screen() -> None:
    with Terminal("train", "line-linear", "--epochs", "1000000") as terminal:
        terminal.until("RUNNING")
        terminal.type("\x03")
        terminal.until("stop after this batch")
        terminal.type("\x03")
        terminal.until("STOPPED")
        terminal.type("q")
        assert terminal.ended() == 0


def test_ctrl_c_while_torch_loads_leaves_at_once() -> None:
    with Terminal("train", "digits-cnn") as terminal:
        terminal.until("loading torch")
        terminal.type("\x03")
        assert terminal.ended() in (0, 130)
        assert terminal.attributes == terminal.before
