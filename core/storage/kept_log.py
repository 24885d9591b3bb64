"""What is kept of a run that has no checkpoints of ours: its log, and how it ended."""

from __future__ import annotations

from pathlib import Path

from ..protocol.record_fields import outcome_values
from ..protocol.snapshot import RunInfo, Snapshot
from .run_directory import RunDirectory
from .run_log import RunLog


class KeptLog:
    """Writes the log and the outcome of a run.

    Args:
        directory: open, and ours.

    Raises:
        OSError: the log can't be opened.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self.directory = directory
        logs = Path(directory.metrics.name), Path(directory.events.name)
        self.log = RunLog(*logs, dir_fd=directory.fd)
        self._told: str | None = None

    def trouble(self) -> str:
        """A line on what is wrong with the log by now, or was mended; "" if it was told before."""
        error, before = self.log.error, self._told
        self._told = error
        if error == before:
            return ""
        if error:
            return f"the log can't be written: {error}; training goes on, it is kept in memory"
        if self.log.lost:
            return f"the log is written again; {self.log.lost:,} records of it are lost"
        return "the log is written again, nothing of it is lost"

    def ended(self, info: RunInfo, last: Snapshot) -> None:
        """Write down how the run ended, and let the directory go. Raises OSError."""
        try:
            self.log.close()
            self.directory.write_outcome(outcome_values(info, last, None))
        finally:
            self.directory.close()
