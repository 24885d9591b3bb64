"""A command on a terminal of its own, which outlives whoever looks at it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fivestep.tui.terminal.script_process import ScriptProcess
from fivestep.tui.widgets.messages import MessageLog


def begun(*command: str) -> tuple[ScriptProcess, MessageLog]:
    log = MessageLog()
    script = ScriptProcess(command, dict(os.environ), log.put)
    script.start()
    return script, log


def until(condition: Callable[[], object]) -> None:
    """Wait for it; the test's own limit ends what never comes."""
    while not condition():
        pass


def texts(log: MessageLog) -> list[str]:
    return [entry.text for entry in log.entries()]


ASKS = "test -t 0 && test -t 1 && read -p 'name? ' name && echo hello $name; exit 7"


def test_it_has_a_terminal_is_answered_and_its_exit_code_is_known() -> None:
    script, log = begun("bash", "-c", ASKS)
    until(lambda: script.output.last.startswith("name?"))
    assert not script.hides_input
    script.write("bob\n")
    assert script.wait(30) == 7
    assert texts(log) == ["name? bob", "hello bob"]
    assert b"hello bob" in script.tail


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("kill -TERM $$", -signal.SIGTERM),
        ("kill -KILL $PPID; echo alone; exit 0", 1),  # its keeper: nobody can tell how it ended
        ("exec no-such-command", 127),
    ],
)
def test_however_it_ends_that_is_noticed(command: str, code: int) -> None:
    script, log = begun("bash", "-c", command)
    assert script.wait(30) == code
    assert ("alone" in texts(log)) == ("PPID" in command)


def test_control_c_reaches_what_is_in_front() -> None:
    script, log = begun("bash", "-c", "trap 'echo caught; exit 3' INT; echo ready; read x")
    until(lambda: "ready" in texts(log))
    script.interrupt()
    assert script.wait(30) == 3
    assert "caught" in " ".join(texts(log))


LEFT = """
import os, sys
from fivestep.tui.terminal.script_process import ScriptProcess
script = ScriptProcess(("bash", "-c", sys.argv[1]), os.environ, lambda *_: None)
script.start()
script.keep_output_in(sys.argv[2])
os._exit(0)
"""


def test_it_goes_on_where_nobody_looks_any_more(tmp_path: Path) -> None:
    log, go = tmp_path / "output.log", tmp_path / "go"
    os.mkfifo(go)
    command = f"read line < {go}; seq 10000; tty; echo the end"
    subprocess.run([sys.executable, "-c", LEFT, command, str(log)], check=True)
    go.write_text("now\n")
    until(lambda: log.exists() and "the end" in log.read_text())
    assert "not a tty" not in log.read_text()
