"""`LogFollower`: reads a log that another process writes, whatever becomes of the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from .files import open_regular
from .log_file import LONGEST, LogRecord, unseal

AT_ONCE: Final = 10_000
"""Records that are read in one go."""


class LogFollower:
    """Reads on where it was, or from the start where the file is no longer what was read of it: a
    run that resumes or goes back cuts its log.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written: float | None = None
        """When something was written last (seconds since 1970); None if the file is not there."""
        self._offset = 0
        self._last = b""
        """The line before that, with its newline."""

    def look(self) -> tuple[bool, list[LogRecord]]:
        """Whether all that was read before is void, and the records that are new, at most
        `AT_ONCE`; damaged lines are skipped.
        """
        try:
            with open_regular(self.path) as file:
                self.written = os.fstat(file.fileno()).st_mtime
                file.seek(self._offset - len(self._last))
                void = file.read(len(self._last)) != self._last
                if void:
                    self._offset, self._last = 0, b""
                    file.seek(0)
                records: list[LogRecord] = []
                while len(records) < AT_ONCE and (text := file.readline(LONGEST)):
                    if not text.endswith(b"\n") and len(text) < LONGEST:
                        break  # it is being written
                    self._offset, self._last = self._offset + len(text), text
                    if (record := unseal(text.removesuffix(b"\n"))) is not None:
                        records.append(record)
                return void, records
        except OSError:
            void, self._offset, self._last, self.written = self._offset > 0, 0, b"", None
            return void, []
