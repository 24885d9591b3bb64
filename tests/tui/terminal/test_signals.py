"""The command as a process of its own: signals, a real terminal, pipes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

ENDLESS = ["train", "line-linear", "--no-ui", "--epochs", "1000000", "--device", "cpu"]

SLOW = """
import os, sys, threading
from fivestep.presets import build
from fivestep.tui.cli import main as entry

make, until_gone = build.make_criterion, sys.argv[1]

def make_slow(recipe):
    criterion = make(recipe)
    def slow(outputs, labels):
        threading.Event().wait(0.02)
        while os.path.exists(until_gone):
            print("stuck", file=sys.stderr, flush=True)
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


@contextlib.contextmanager
def started(*command: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, *command], **options)  # type: ignore[call-overload]
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c_leaves_a_complete_record() -> None:
    command = ("-m", "fivestep", *ENDLESS, "--json")
    with started(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["type"] == "run_start"
        process.send_signal(signal.SIGINT)
        records = [json.loads(line) for line in process.stdout]
        assert process.wait() == 130
        assert process.stderr.read() == b""
    (change,) = (record for record in records if record["type"] == "change")
    assert change["kind"] == "stop"
    assert records[-1]["type"] == "run_end"
    assert records[-1]["outcome"] == "interrupted"
    assert records[-1]["batches"] == sum(record["type"] == "batch" for record in records)


def test_a_reader_that_takes_one_line_ends_the_run_quietly() -> None:
    command = ("-m", "fivestep", *ENDLESS, "--json")
    with started(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_stdout_carries_records_and_nothing_else() -> None:
    done = subprocess.run([sys.executable, "-c", CHATTY], capture_output=True, check=True)
    types = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert types == ["run_start", *["batch"] * 25, "epoch", "run_end"]
    assert b"python says hello" in done.stderr
    assert b"a descriptor says hello" in done.stderr


class Terminal:
    """A pseudo terminal of 60 columns, and all that was written to it."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        self.seen = ""

    def wait_for(self, text: str) -> None:
        while text not in self.seen:
            self.seen += os.read(self.master, 4096).decode()

    def read_rest(self) -> str:
        os.close(self.slave)
        with contextlib.suppress(OSError):  # EIO once nobody holds the other end
            while data := os.read(self.master, 4096):
                self.seen += data.decode()
        os.close(self.master)
        return self.seen


def test_the_live_line_and_a_second_ctrl_c(tmp_path: Path) -> None:
    terminal = Terminal()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    hold = tmp_path / "hold"
    command = ("-c", SLOW, str(hold))
    with started(
        *command, stdout=terminal.slave, stderr=subprocess.PIPE, env=environment
    ) as process:
        terminal.wait_for("epoch  2/20  batch")
        hold.touch()
        assert process.stderr is not None
        assert process.stderr.readline() == b"stuck\n"
        process.send_signal(signal.SIGINT)
        terminal.wait_for("the same again ends at once")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        seen = terminal.read_rest()
    assert seen.endswith("\r\x1b[K")  # the line is clean
    sequences = set(re.findall(r"\x1b\[[^A-Za-z]*[A-Za-z]", seen))
    assert sequences == {"\x1b[K"}  # rewritten in place, and no colour
    drawn = re.findall(r"\r([^\r\n]*)\x1b\[K", seen)
    live = r"epoch  [12]/20  batch .\d/25 +\d+ % +\d+/s  loss 0\.\d+"
    assert any(re.match(live, row) for row in drawn)
    assert all(len(row) < 60 for row in drawn)


def test_a_signal_while_loading_ends_at_once() -> None:
    command = ("-m", "fivestep", *ENDLESS)
    with started(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"line-linear: ")
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
        assert process.stderr.read() == b""
