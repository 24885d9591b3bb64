"""A person's own command that is told how a run ended."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ...core.protocol.diagnosis import VerdictInputs
from ...core.protocol.record_fields import NOTIFY, outcome_values
from ...core.storage.files import plain
from ...core.verdicts.verdicts import find_verdicts
from ...presets.errors import RecipeError, printable, reason, shown
from ..terminal.output import complain

if TYPE_CHECKING:
    from ...core.protocol.snapshot import RunInfo, Snapshot
    from ...core.storage.run_directory import RunDirectory

LIMIT: Final = 10.0
"""Seconds that the command may take."""
MOST: Final = 16_384
"""Bytes of what it prints that are passed on."""


def words_of(command: str) -> list[str]:
    """The words of a command line, which no shell reads.

    Raises:
        RecipeError: it is none, or there is no such program.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise RecipeError(f"--notify {shown(command)}: {error}") from error
    if not words or shutil.which(words[0]) is None:
        raise RecipeError(f"--notify: there is no program {shown(words[0] if words else command)}")
    return words


def ending(
    trained: str, directory: RunDirectory | None, info: RunInfo, last: Snapshot
) -> dict[str, Any]:
    """What a command is told of a run that has ended, by field of `NOTIFY`.

    Args:
        trained: name of the recipe, the file or the script.
        directory: where the run is kept; None if it is not.
        info: of the run.
        last: its last picture.
    """
    verdicts = find_verdicts(info, last, last.facts or VerdictInputs())
    values = outcome_values(info, last, last.saved, verdicts)
    values |= {"text": f"{trained} {values['state']}: {values['reason']}", "preset": trained}
    values |= {"run": directory and directory.name, "directory": directory and str(directory.path)}
    return {name: values[name] for name in NOTIFY}


class Notifier:
    """Runs a command once, in a thread of its own, with an object on its stdin.

    Whatever it does, the run is not held up, and does not fail: what it prints, and what becomes of
    it, goes to stderr, which the screen shows among the messages.

    Args:
        command: a command line; "" is none.
    """

    def __init__(self, command: str) -> None:
        self._command = command
        self._thread: threading.Thread | None = None

    def tell(self, values: Mapping[str, Any]) -> None:
        """Start the command, if it was not before."""
        if self._command and self._thread is None:
            text = json.dumps(plain(values)) + "\n"
            self._thread = threading.Thread(
                target=self._run, args=(text.encode(),), name="fivestep-notify", daemon=True
            )
            self._thread.start()

    def wait(self) -> None:
        """Wait for a command that was started; no longer than it may take."""
        if self._thread is not None:
            self._thread.join(LIMIT + 1)

    def _run(self, text: bytes) -> None:
        try:
            words = words_of(self._command)
            with tempfile.TemporaryFile() as stdin:  # a pipe would wait for who does not read
                stdin.write(text)
                stdin.seek(0)
                process = subprocess.Popen(
                    words,
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            complain(f"--notify: {reason(error)}")
            return
        late = threading.Event()

        def end() -> None:
            late.set()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(LIMIT, end)
        timer.daemon = True
        timer.start()
        assert process.stdout is not None
        with process.stdout as stdout:
            said = stdout.read(MOST)
            while stdout.read(MOST):
                pass
        code = process.wait()
        timer.cancel()
        for line in said.decode(errors="replace").splitlines():
            complain(f"--notify: {line}")
        if late.is_set():
            complain(f"--notify: {printable(words[0])} took longer than {LIMIT:g} s, it was ended")
        elif code:
            complain(f"--notify: {printable(words[0])} ended with exit code {code}")
