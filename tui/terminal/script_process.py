"""A script on a terminal of its own, which goes on if whoever looks at it goes away."""

from __future__ import annotations

import codecs
import os
import select
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NoReturn

from .folded_output import FoldedOutput

CHUNK: Final = 1 << 16
FULL: Final = 4000
FLOOD: Final = 1 << 18
SOON: Final = 0.001
"""Seconds that the next piece of a flood is waited for."""
TAIL: Final = 1 << 18
"""Bytes of the output that are kept."""
SETTLES: Final = 0.1
"""Seconds that are waited for the last of the output, once the script has ended."""
LINGERS: Final = 2.0
"""Seconds that others which it has started may go on to print, to be seen here."""
UNKNOWN: Final = 1
"""The exit code where nobody can tell it: the keeper was killed."""


class ScriptProcess:
    """A command on a terminal of its own (a pty), in a session of its own.

    Its parent is a small process, the keeper, which outlives this one: it takes the output then, so
    that the script can go on. To be made before this process has other threads.

    Args:
        command: its words.
        environment: all of it.
        say: shows the output, see `FoldedOutput`; called in a thread of its own.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        say: Callable[[str, object], object],
    ) -> None:
        self._master, slave = os.openpty()
        self.fit()
        status, tell = os.pipe()
        hear, self._alive = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        if not os.fork():
            os.close(status)
            os.close(self._alive)
            _keep(command, environment, (self._master, slave), tell, hear)
        for fd in (slave, tell, hear):
            os.close(fd)
        self._told = os.fdopen(status, "r", encoding="ascii")
        self.process = int(self._told.readline() or 0)
        """The script's number."""
        self.exit_code: int | None = None
        """As `os.waitstatus_to_exitcode`, once it has ended, and its output is here."""
        self.tail = bytearray()
        """The last of its output, as it came."""
        self.output = FoldedOutput(say)
        self._thread = threading.Thread(target=self._read, name="fivestep-script", daemon=True)

    def start(self) -> None:
        """Begin to take the output in."""
        self._thread.start()

    def wait(self, seconds: float) -> int | None:
        """Wait for its end; the exit code, None if it goes on."""
        self._thread.join(seconds)
        return self.exit_code

    def fit(self) -> None:
        """Let the script know how large the real terminal is now."""
        with suppress(termios.error):
            termios.tcsetwinsize(self._master, termios.tcgetwinsize(0))

    def keep_output_in(self, path: str) -> None:
        """Where the output goes once this process is no longer there."""
        with suppress(OSError):
            os.write(self._alive, os.fsencode(path) + b"\n")

    def write(self, text: str) -> None:
        """Let this come from the script's keyboard."""
        with suppress(OSError):
            os.write(self._master, text.encode())

    @property
    def hides_input(self) -> bool:
        """Whether it does not want to be seen what it asks for: a password."""
        with suppress(termios.error):
            return not termios.tcgetattr(self._master)[3] & termios.ECHO
        return False

    def send(self, number: int) -> None:
        """Send the script a signal."""
        if self.exit_code is None and self.process:
            with suppress(ProcessLookupError):
                os.kill(self.process, number)

    def interrupt(self) -> None:
        """As Ctrl+C does on its terminal: whatever is in front there gets SIGINT."""
        self.write("\x03")

    def _read(self) -> None:
        """Take the output in until the script has ended, and a moment longer."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        told, code, until = self._told.fileno(), None, float("inf")
        sources = [self._master, told]
        while (left := until - time.monotonic()) > 0:
            ready = select.select(sources, [], [], None if code is None else min(left, SETTLES))[0]
            if self._master in ready:
                data = self._take()
                if not data:
                    break
                self.tail = (self.tail + data)[-TAIL:]
                self.output.feed(decoder.decode(data))
            elif told in ready:
                sources = [self._master]
                if line := self._told.readline():  # or its keeper was killed
                    code, until = int(line), time.monotonic() + LINGERS
            elif code is not None:
                break
        with self._told:
            self.exit_code = int(self._told.readline() or UNKNOWN) if code is None else code

    def _take(self) -> bytearray:
        """What has come; nothing once nobody has the other end any more. Of a flood, which a
        terminal passes on in pieces of `FULL` bytes, a lot at once: most of its lines are left out.
        """
        taken = bytearray()
        with suppress(OSError):
            while piece := os.read(self._master, CHUNK):
                taken += piece
                more = len(piece) >= FULL and len(taken) < FLOOD
                if not (more and select.select([self._master], [], [], SOON)[0]):
                    break
        return taken


def _keep(
    command: Sequence[str],
    environment: Mapping[str, str],
    terminal: tuple[int, int],
    tell: int,
    hear: int,
) -> NoReturn:
    """Start the command, wait for it, and tell how it ended; take its output once nobody else is
    there to do so.
    """
    try:
        master, slave = terminal
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):  # the terminal is not to be held open
            os.dup2(nowhere, fd)
        woken, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        child = os.fork()
        if not child:
            _become(command, environment, slave)
        os.close(slave)
        os.write(tell, b"%d\n" % child)
        _attend(child, master, tell, hear, woken)
    finally:
        os._exit(0)


def _attend(child: int, master: int, tell: int, hear: int, woken: int) -> None:
    sources, log, path = {hear, woken}, -1, b""
    while True:
        for fd in select.select(sources, [], [])[0]:
            if fd == woken:
                os.read(woken, 64)
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    with suppress(OSError):
                        os.write(tell, b"%d\n" % os.waitstatus_to_exitcode(status))
                    return
            elif fd == hear:
                said = os.read(hear, 4096)
                path = (path + said)[-4096:]
                if not said:  # the screen is gone
                    with suppress(OSError):
                        kept = path.split(b"\n")[-2] if b"\n" in path else os.devnull
                        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                        log = os.open(kept, flags, 0o666)
                    sources = {woken, master}
                    break
            else:
                try:
                    data = os.read(master, CHUNK)
                except OSError:
                    data = b""
                if not data:
                    sources = {woken}
                    break
                with suppress(OSError):
                    os.write(log, data)


def _become(command: Sequence[str], environment: Mapping[str, str], slave: int) -> NoReturn:
    """Turn this process into the script, on that terminal."""
    try:
        signal.set_wakeup_fd(-1)
        become(command, environment, slave)
    except OSError as error:
        print(f"fivestep: {command[0]} can't be started: {error.strerror}", file=sys.stderr)
    finally:
        os._exit(127)


def become(command: Sequence[str], environment: Mapping[str, str], terminal: int = -1) -> NoReturn:
    """Turn this process into a command. Raises OSError.

    Args:
        terminal: its own from now on; -1 leaves it the one there is.
    """
    if terminal >= 0:
        os.login_tty(terminal)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
        signal.signal(number, signal.SIG_DFL)
    os.execvpe(command[0], list(command), environment)
