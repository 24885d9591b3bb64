"""The command as a process of its own: signals, a real terminal, pipes."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path

from forked import piped, python
from terminal import Terminal

from fivestep.tui.setup.options import runs_folder

ENDLESS = [
    "-m",
    "fivestep",
    "train",
    "line-linear",
    "--no-ui",
    "--epochs",
    "1000000",
    "--device",
    "cpu",
]

SLOW = """
import os, sys, threading
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
from fivestep.presets import build
from fivestep.tui.cli import main as entry

make, until_gone = build.make_criterion, sys.argv[1]

def make_slow(recipe):
    criterion = make(recipe)
    def slow(outputs, labels):
        threading.Event().wait(0.02)
        while os.path.exists(until_gone):
            open(until_gone + ".seen", "w").close()
            threading.Event().wait(0.1)
        return criterion(outputs, labels)
    return slow

build.make_criterion = make_slow
sys.argv[1:] = ["train", "line-linear", "--no-ui", "--device", "cpu"]
entry.main()
"""

CHATTY = """
import ctypes, os, sys
from fivestep.presets import build
from fivestep.tui.cli import main as entry

make = build.make_criterion

def make_chatty(recipe):
    print("python says hello")
    os.write(1, b"a descriptor says hello\\n")
    ctypes.CDLL(None).puts(b"C says hello")
    return make(recipe)

build.make_criterion = make_chatty
sys.argv[1:] = ["train", "line-linear", "--json", "--epochs", "1", "--device", "cpu"]
entry.main()
"""


def test_ctrl_c_leaves_a_complete_record() -> None:
    with piped(*ENDLESS, "--json") as (process, printed, errors):
        assert json.loads(printed.readline())["type"] == "run_start"
        process.send_signal(signal.SIGINT)
        records = [json.loads(line) for line in printed]
        assert process.wait() == 130
        assert errors.read() == b""
    (change,) = (record for record in records if record["type"] == "change")
    assert change["kind"] == "stop"
    assert records[-1]["type"] == "run_end"
    assert records[-1]["outcome"] == "interrupted"
    assert records[-1]["batches"] == sum(record["type"] == "batch" for record in records)


def test_a_reader_that_takes_one_line_ends_the_run_quietly() -> None:
    with piped(*ENDLESS, "--json") as (process, printed, errors):
        assert printed.readline()
        printed.close()
        assert errors.read() == b""
        assert process.wait() == 141


def test_stdout_carries_records_and_nothing_else() -> None:
    done = python("-c", CHATTY)
    types = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert types == ["run_start", *["batch"] * 25, "epoch", "run_end"]
    assert "python says hello" in done.stderr
    assert "a descriptor says hello" in done.stderr


def test_the_live_line_and_a_second_ctrl_c(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    command = (sys.executable, "-c", SLOW, str(hold))
    with Terminal(command=command, columns=60, rows=24, TERM="xterm", NO_COLOR="1") as terminal:
        terminal.keep = True
        terminal.until("epoch  2/20  batch")
        hold.touch()
        while not hold.with_suffix(".seen").exists():
            terminal.read()
        terminal.process.send_signal(signal.SIGINT)
        terminal.until("the same again ends at once")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == 130
        seen = terminal.sent.decode()
    assert seen.endswith("\r\x1b[K")  # the line is clean
    sequences = set(re.findall(r"\x1b\[[^A-Za-z]*[A-Za-z]", seen))
    assert sequences == {"\x1b[K"}  # rewritten in place, and no colour
    drawn = re.findall(r"\r([^\r\n]*)\x1b\[K", seen)
    live = r"epoch  [12]/20  batch .\d/25 +\d+ % +\d+/s  loss 0\.\d+"
    assert any(re.match(live, row) for row in drawn)
    assert all(len(row) < 60 for row in drawn)


def test_a_signal_while_loading_ends_at_once_and_leaves_nothing() -> None:
    with piped(*ENDLESS) as (process, printed, errors):
        assert printed.readline().startswith(b"line-linear: ")
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
        told = b"fivestep: interrupted before the first batch; nothing kept\n"
        assert errors.read() == told
    assert not list(runs_folder().iterdir())
