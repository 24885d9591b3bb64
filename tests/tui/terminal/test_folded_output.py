"""A program's output, line by line, with what it draws again and again folded."""

from __future__ import annotations

import io

import pytest

from fivestep.tui.terminal.folded_output import AT_ONCE, FoldedOutput, last_lines
from fivestep.tui.widgets.messages import MessageLog


def folded(*chunks: str) -> list[str]:
    log = MessageLog()
    output = FoldedOutput(log.put)
    for chunk in chunks:
        output.feed(chunk)
    return [entry.text for entry in log.entries()]


@pytest.mark.parametrize(
    ("chunks", "shown"),
    [
        (["one\r\ntwo\r\n"], ["one", "two"]),
        (["name? "], ["name?"]),
        (["\r  1 %", "\r 50 %", "\r100 %\n", "done\n"], ["100 %", "done"]),
        (["long line\rshort\x1b[K\n"], ["short"]),
        (["abc\b\bX\n"], ["aXc"]),
        (["a 1 %\n\rb 1 %\x1b[A", "\ra 9 %\n\rb 9 %\x1b[A\n\n"], ["a 9 %", "b 9 %"]),
        (["bar 3 %\n", "\x1b[A\r\x1b[K"], []),  # a bar that is taken away when it is full
        (["\x1b[3", "1mred\x1b[", "0m\n"], ["red"]),
        (["\x1b]0;title\x07text\x1b]8;;http://x\x1b\\link\n"], ["textlink"]),
        (["\x1b[2J\x1b[H\x07\x00hostile\n"], ["hostile"]),
        (["x" * 10_000 + "\n"], ["x" * 4000]),
    ],
)
def test_lines_are_what_a_terminal_shows(chunks: list[str], shown: list[str]) -> None:
    assert folded(*chunks) == shown


def test_of_a_flood_the_end_is_shown() -> None:
    lines = folded("".join(f"{i}\n" for i in range(10_000)))
    assert lines[-1] == "9999"
    assert "lines left out" in lines[0]
    assert len(lines) <= AT_ONCE + 2


def test_a_bar_of_tqdm_is_one_line() -> None:
    tqdm = pytest.importorskip("tqdm").tqdm
    stream = io.StringIO()
    for _ in tqdm(range(3), file=stream, mininterval=0, ncols=60):
        pass
    (line,) = folded(*stream.getvalue())
    assert line.startswith("100%")


def test_a_line_that_changes_keeps_its_time() -> None:
    times = iter(range(100))
    log = MessageLog(lambda: float(next(times)))
    output = FoldedOutput(log.put)
    output.feed("a\r")
    output.feed("b\r")
    assert [(entry.text, entry.time) for entry in log.entries()] == [("b", 0.0)]
    assert last_lines(b"1\n2\r3\n4\n", 2) == "3\n4"
