"""The installed command on a real terminal: typed at, looked at, left."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from faults import f04_signals, f05_lost_terminal, f13_resize_storm, f22_invalid_keys
from terminal import Terminal


def test_a_newcomer_starts_pauses_steps_steers_and_leaves() -> None:
    with Terminal() as terminal:
        terminal.until("step by step")
        terminal.until("digits-cnn")
        assert "five steps" in terminal.text
        terminal.type("\r")
        terminal.until("paused before the first batch: s shows one step at a time")
        terminal.until("PAUSED")
        left = {"zero_grad", "forward", "loss", "backward", "update"}
        for _ in range(8):
            where = terminal.screen.display[0]
            terminal.type("s")
            terminal.until(lambda text, last=where: not text.startswith(last) and "PAUSED" in text)
            place = re.search(r"PAUSED before ([a-z_]+)", terminal.screen.display[0])
            left -= {place[1]} if place else set()
        assert not left
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


def test_a_run_named_on_the_command_line_starts_at_once_rings_and_stays_when_it_is_over(
    tmp_path: Path,
) -> None:
    (tmp_path / "fivestep").mkdir()
    own = '[keys]\nagain = "R"\n'
    (tmp_path / "fivestep/config.toml").write_text(own)
    words, home = ("train", "line-linear", "--epochs", "3", "--no-hold", "--no-save"), str(tmp_path)
    with Terminal(*words, rows=60, XDG_CONFIG_HOME=home) as terminal:
        terminal.keep = True
        terminal.until("3 epochs trained")
        terminal.until("run again")
        assert b"\x07\x1b]9;fivestep: line-linear: finished: 3 epochs trained\x07" in terminal.sent
        terminal.type("R")
        # The messages of the run before are still there.
        terminal.until(lambda text: text.count("finished: 3 epochs") == 2 and "FINISHED" in text)
        terminal.type("q")
        assert terminal.ended() == 0
        assert "line-linear: finished after 3 epochs" in terminal.text


def test_signals_leave_the_terminal_as_it_was_and_a_checkpoint_at_this_batch() -> None:
    assert f04_signals.campaign(2, seed=1).notes == ()


def test_a_run_goes_on_when_its_terminal_goes_away() -> None:
    assert f05_lost_terminal.campaign(2, seed=1).notes == ()


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
    with Terminal("train", "digits-cnn", fresh=True) as terminal:
        terminal.until("loading torch")
        terminal.type("\x03")
        assert terminal.ended() in (0, 130)
        assert terminal.attributes == terminal.before


def test_a_run_that_diverges_is_held_goes_back_and_is_stopped() -> None:
    words = ("--no-hold", "--lr", "1000", "--set", "optimizer.fused=false")
    with Terminal("train", "line-linear", *words) as term:
        text = term.until("noticed before backward")
        assert "PAUSED: the loss is" in text
        term.until("go back to batch 0, with half the learning rate")
        term.until("lower learning rate")  # a frame may come in pieces
        term.type("T")
        term.until("NonFiniteLossError")
        term.type("\x1b")
        term.until(lambda text: "NonFiniteLossError" not in text)
        term.type("g")
        term.until("went back from batch")
        term.until(lambda text: "PAUSED" in text and "by hand" in text)  # 500 is too much, too
        term.type("q")
        term.until("to resume: fivestep resume")
        term.until("FAILED")
        term.type("q")
        assert term.ended() == 1
        assert "line-linear: failed in epoch 1" in term.text
        assert "saved at batch 0; to resume: fivestep resume" in term.text


def test_many_window_sizes_do_not_stop_a_run(tmp_path: Path) -> None:
    _, during = f13_resize_storm.storm(40, seed=1, folder=tmp_path)
    assert during > 0


def test_no_byte_from_the_keyboard_ends_a_run() -> None:
    result = f22_invalid_keys.campaign(20, seed=1)
    assert (result.lost, result.notes) == (0, ())


def test_the_screen_has_the_size_of_its_terminal_whatever_the_environment_says() -> None:
    words = ("train", "line-linear", "--epochs", "1000000", "--no-save")
    with Terminal(*words, COLUMNS="9999", LINES="9999") as terminal:
        terminal.until("RUNNING")
        terminal.type("ql")
        assert terminal.ended() == 0


BROKEN_SCREEN = """
from fivestep.presets.recipe import load
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.plan import RecipePlan
from fivestep.tui.app.open import open_screen
from fivestep.tui.watch.watch import WatchScreen

tick = WatchScreen.tick

def broken(self):
    tick(self)
    if self.snapshot is not None and self.snapshot.batches_done > 50:
        FAULT

WatchScreen.tick = broken
raise SystemExit(open_screen(RunBuilder.nowhere(RecipePlan(load("line-linear", {"epochs": 200})))))
"""


@pytest.mark.parametrize("fault", ["raise ZeroDivisionError('a fault')", "self.app.exit()"])
def test_a_fault_of_the_screen_does_not_end_the_run(fault: str) -> None:
    code = BROKEN_SCREEN.replace("FAULT", fault)
    with Terminal(command=(sys.executable, "-c", code), rows=60) as terminal:
        terminal.until("training goes on without it")
        terminal.until("finished after 200 epochs")
        assert terminal.ended() == 1
        assert terminal.attributes == terminal.before


CHATTY = """
import ctypes, logging, os, warnings
from fivestep.presets import build
from fivestep.presets.recipe import load
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.plan import RecipePlan
from fivestep.tui.app.open import open_screen

make = build.make_criterion

def make_chatty(recipe):
    print("python says [bold]hello[/bold]")
    print("\\x1b]0;owned\\x07\\x1b[2Jescape")
    os.write(2, b"a descriptor says hello\\n")
    ctypes.CDLL(None).puts(b"C says hello")
    ctypes.CDLL(None).fflush(None)
    warnings.warn("a warning says hello")
    logging.getLogger("user").error("a log says hello")
    return make(recipe)

build.make_criterion = make_chatty
raise SystemExit(open_screen(RunBuilder.nowhere(RecipePlan(load("line-linear", {"epochs": 2})))))
"""


def test_what_a_run_prints_is_a_message_and_nothing_is_drawn_over() -> None:
    with Terminal(command=(sys.executable, "-c", CHATTY), columns=200, rows=50) as terminal:
        terminal.keep = True
        for line in (
            "python says [bold]hello[/bold]",
            "a descriptor says hello",
            "C says hello",
            "a warning says hello",
            "a log says hello",
        ):
            terminal.until(line)
        terminal.until("FINISHED")
        assert b"\x1b]0;owned" not in terminal.sent
        assert "─messages─" in terminal.text  # the frame around them still stands
        terminal.type("q")
        assert terminal.ended() == 0


def test_a_verdict_shows_while_the_run_that_went_wrong_goes_on() -> None:
    endless = ("--epochs", "100000", "--no-save")
    with Terminal("train", "digits-mlp", *endless) as terminal:
        terminal.until(lambda text: re.search(r"trained +0:0[3-9]", text) is not None)
        assert " y why" not in terminal.text
        terminal.type("+" * 12)
        terminal.until("try: divide the learning rate by 10")
        assert "RUNNING" in terminal.screen.display[0] or "VALIDATING" in terminal.screen.display[0]
