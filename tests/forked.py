"""Python processes that begin with torch imported: forked off one that imported it once.

Each is a process of its own, with its own terminal, signals and exit code, and saves the three
seconds of processor time that the imports take. What torch's import is like, what is read from the
environment at an import, and Python's own options need a process that begins with nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

_ahead: socket.socket | None = None
"""To the process that has imported torch; it starts with the first one that is asked for."""


class Forked:
    """A process that runs Python.

    Args:
        arguments: a file and its arguments, or `-m` or `-c` and what belongs to it.
        files: its stdin, stdout and stderr.
        env: its environment; this one's by default.
        terminal: stdin is its terminal, and it leads a session.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        files: Sequence[int],
        env: dict[str, str] | None = None,
        *,
        terminal: bool = False,
    ) -> None:
        self.returncode: int | None = None
        self._answers, theirs = socket.socketpair()
        order = [*arguments], env or dict(os.environ), str(Path.cwd()), terminal
        with tempfile.TemporaryFile() as paper, theirs:
            paper.write(json.dumps(order).encode())
            paper.seek(0)
            socket.send_fds(_process_ahead(), [b"!"], [*files, theirs.fileno(), paper.fileno()])
            self.pid = int(self._answers.recv(10))

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self.returncode = int(self._answers.recv(10))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
            self._answers.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, and wait until it has ended."""
        self.send_signal(signal.SIGKILL)
        self.wait()


def python(
    *arguments: str, code: int = 0, typed: str = "", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments and stdin; it has to end with this code."""
    printed = []
    with contextlib.ExitStack() as files:
        streams = [files.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        streams[0].write(typed.encode())
        streams[0].seek(0)
        found = Forked(arguments, [each.fileno() for each in streams], env).wait()
        for file in streams[1:]:
            file.seek(0)
            printed.append(file.read().decode())
    assert found == code, printed[1]
    return subprocess.CompletedProcess(arguments, found, *printed)


@contextlib.contextmanager
def piped(
    *arguments: str, env: dict[str, str] | None = None
) -> Iterator[tuple[Forked, BinaryIO, BinaryIO]]:
    """A process that runs Python, and what reads its stdout and stderr."""
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    process = Forked(arguments, [0, out_end, err_end], env)
    os.close(out_end)
    os.close(err_end)
    with os.fdopen(out, "rb") as printed, os.fdopen(err, "rb") as errors:
        try:
            yield process, printed, errors
        finally:
            process.kill()


def _process_ahead() -> socket.socket:
    global _ahead
    if _ahead is None:
        _ahead, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        atexit.register(process.wait)
        atexit.register(_ahead.close)
    return _ahead


def _serve(orders: socket.socket) -> None:
    """Fork as often as asked to; return only in a process that is to run something."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        asked, files, *_ = socket.recv_fds(orders, 1, 5)
        if not asked:
            os._exit(0)
        if os.fork() == 0:
            break
        for file in files:
            os.close(file)
    orders.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *files, answers, paper = files
    with os.fdopen(paper, "rb") as read:
        arguments, env, cwd, terminal = json.load(read)
    if child := os.fork():  # stays to say how it ended
        for file in files:
            os.close(file)
        os.write(answers, b"%10d" % child)
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        with contextlib.suppress(OSError):  # nobody asks any more
            os.write(answers, b"%10d" % code)
            os.read(answers, 1)  # its number is no other process's until that is known
        os.waitpid(child, 0)
        os._exit(0)
    os.close(answers)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    if terminal:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    _run(*arguments)


def _run(*arguments: str) -> None:
    """What `python` does with these arguments."""
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", 1 if os.isatty(1) else -1, closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = ["", *(path for path in paths if path and path not in sys.path)]
    first, what, *_ = [*arguments, ""]
    if first == "-m":
        sys.argv, sys.path[0] = [*arguments[1:]], str(Path.cwd())
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv, sys.path[0] = ["-c", *arguments[2:]], ""
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), vars(main))
    else:
        path = Path(first).absolute()
        sys.argv, sys.path[0] = [*arguments], str(path.parent)
        runpy.run_path(str(path), run_name="__main__")


if __name__ == "__main__":
    gc.disable()
    import textual.app  # noqa: F401
    import torch

    torch.optim.SGD([torch.zeros(1)])  # imports torch's compiler

    import fivestep.core.session.session
    import fivestep.presets.build  # noqa: F401

    gc.freeze()
    gc.enable()
    _serve(socket.socket(fileno=int(sys.argv[1])))
