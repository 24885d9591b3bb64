"""Ctrl+Z, `fg`, `bg` and SIGSTOP, on the screen and in lines, under a shell and without one."""

from __future__ import annotations

import shlex
import signal
import sys

import psutil
from terminal import Terminal  # tests is on the path

RUN = ("train", "digits-cnn", "--epochs", "10000", "--no-save")
TOLD = "the process was stopped for"
AWAY = 1.5
"""Seconds: shorter stops can't be told from the program's own pauses."""


def shell() -> Terminal:
    """A shell that knows of jobs, at its prompt."""
    terminal = Terminal(command=("sh", "-i"), rows=50, PS1="shell> ")
    terminal.until("shell> ")
    return terminal


def stopped(terminal: Terminal, job: str) -> None:
    """Press Ctrl+Z, and wait for the shell."""
    terminal.type("\x1a")
    terminal.until(lambda text: "Stopped" in text and job in text)
    terminal.type("echo us''able\r")
    terminal.until("\nusable")


def test_ctrl_z_gives_the_shell_and_fg_the_whole_screen() -> None:
    with shell() as terminal:
        terminal.type(shlex.join((sys.executable, "-m", "fivestep", *RUN)) + "\r")
        terminal.until("RUNNING")
        stopped(terminal, "fivestep")
        assert terminal.attributes == terminal.before
        terminal.rest(AWAY)
        terminal.type("fg\r")
        terminal.until(TOLD)
        terminal.until("RUNNING")
        assert "the five steps" in terminal.text
        assert "─messages─" in terminal.text
        assert "usable" not in terminal.text
        stopped(terminal, "fivestep")
        terminal.type("bg\r")
        terminal.type("jobs\r")
        terminal.until("Running")
        terminal.type("fg\r")
        terminal.until("RUNNING")
        terminal.type("ql")
        terminal.until("digits-cnn: stopped after")
        terminal.until(lambda _: terminal.attributes == terminal.before)


def test_lines_go_on_after_ctrl_z_and_fg() -> None:
    with shell() as terminal:
        terminal.type(shlex.join((sys.executable, "-m", "fivestep", *RUN, "--no-ui")) + "\r")
        terminal.until("batches/s")
        stopped(terminal, "fivestep")
        terminal.rest(AWAY)
        terminal.keep = True  # a line can be off the screen before it is looked at
        terminal.type("fg\r")
        terminal.until(lambda _: TOLD.encode() in terminal.sent)
        terminal.type("\x03")
        terminal.until("interrupted after")


def test_a_screen_without_a_shell_stays_and_survives_sigstop() -> None:
    with Terminal(*RUN) as terminal:
        terminal.until("RUNNING")
        terminal.type("\x1a")
        terminal.until("no shell to go to")
        terminal.process.send_signal(signal.SIGSTOP)
        while psutil.Process(terminal.process.pid).status() != psutil.STATUS_STOPPED:
            terminal.read()
        terminal.rest(AWAY)
        terminal.process.send_signal(signal.SIGCONT)
        terminal.until(TOLD)
        terminal.type("ql")
        assert terminal.ended() == 0
        assert terminal.attributes == terminal.before
