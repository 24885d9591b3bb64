"""What a run prints becomes messages, and never reaches the screen by itself."""

from __future__ import annotations

import os

from doing import python
from hypothesis import given
from hypothesis import strategies as st

from fivestep.tui.terminal.capture import LONGEST, LineSplitter

SCRIPT = """
import logging, os, subprocess, sys, warnings
from fivestep.tui.terminal.capture import captured
said = []
with captured(said.append):
    print("from print")
    warnings.warn("from warnings")
    logging.warning("from logging")
    os.write(1, b"from C \\xff\\n")
    subprocess.run(["echo", "from a child"])
    sys.__stderr__.write("to the terminal|")
    print("without an end", end="")
print("after", file=sys.stderr)
assert said[0] == "from print", said
assert any("from warnings" in line for line in said), said
assert any("from logging" in line for line in said), said
assert "from C \\ufffd" in said, said
assert "from a child" in said, said
assert said[-1] == "without an end", said
"""


def test_prints_warnings_logs_c_code_and_children_are_all_caught():
    done = python("-c", SCRIPT)
    assert done.stderr.splitlines()[0] == "to the terminal|after"
    assert done.stdout == ""


def told(*pieces: str) -> list[str]:
    said: list[str] = []
    lines = LineSplitter(said.append)
    for piece in pieces:
        lines.feed(piece)
    lines.close()
    return said


def test_a_progress_bar_that_rewrites_its_line_is_one_message():
    assert told("0 %\r", "50 %\r", "100 %\n", "next\r\n") == ["100 %", "next"]


def test_lines_arrive_whole_however_the_stream_is_cut():
    assert told("one\ntw", "o\n", "\n\nthree") == ["one", "two", "three"]


def test_output_that_never_ends_its_line_does_not_pile_up():
    said: list[str] = []
    lines = LineSplitter(said.append)
    for _ in range(100):
        lines.feed("x" * 1000)
    assert all(len(line) <= LONGEST for line in said)
    assert len(said) >= 100 * 1000 // (LONGEST + 1000)
    for _ in range(100):
        lines.feed("y" * 1000 + "\r")
    lines.close()
    assert len(said[-1]) <= LONGEST


@given(st.text(alphabet="ab\n"), st.integers(1, 5))
def test_cutting_changes_no_line(text, size):
    pieces = [text[k : k + size] for k in range(0, len(text), size)]
    assert told(*pieces) == [line for line in text.split("\n") if line]


def test_the_descriptors_are_given_back():
    before = os.fstat(1), os.fstat(2)
    from fivestep.tui.terminal.capture import captured

    with captured(lambda line: None):
        assert os.fstat(1).st_ino != before[0].st_ino
    assert (os.fstat(1).st_ino, os.fstat(2).st_ino) == (before[0].st_ino, before[1].st_ino)
