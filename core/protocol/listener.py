"""`Listener`: what is told of every batch, epoch and change of a run."""

from __future__ import annotations

from .snapshot import Change, EpochSummary


class Listener:
    """Gets every record of a run, in the training thread: its time is lost to training.

    This one does nothing with them.
    """

    def batch(
        self,
        epoch: int,
        batch: int,
        batches_done: int,
        loss: float,
        lr: float,
        lrs: tuple[float, ...] = (),
    ) -> None:
        """A batch was finished; `epoch` and `batch` are counted from 1, `lr` is what it used, and
        `lrs`, where there are several parameter groups, what each of them used.
        """

    def epoch(self, summary: EpochSummary) -> None:
        """An epoch was finished."""

    def change(self, change: Change) -> None:
        """A person changed something, or the run tells of itself."""
