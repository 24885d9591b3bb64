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
        self.log.tend = directory.renew

    def ended(self, info: RunInfo, last: Snapshot) -> None:
        """Write down how the run ended, and let the directory go. Raises OSError."""
        try:
            self.log.close()
            self.directory.write_outcome(outcome_values(info, last, None))
        finally:
            self.directory.close()
