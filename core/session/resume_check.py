"""Whether the first batch after a resume is the one that the interrupted run had."""

from __future__ import annotations

import math
from typing import Final

from ..protocol.listener import Listener
from ..training.progress import Progress
from ..training.training import Training
from .recorder import Recorder

EXACT: Final = 1e-5
"""Relative difference that another number of threads may make to a loss on a CPU."""
ROUGH: Final = 1e-2
"""The same of kernels that are chosen anew: on an accelerator, compiled, in half precision."""


class ResumeCheck(Listener):
    """Compares one loss, the first one, says so if it is another, and listens no more.

    Args:
        training: what is trained.
        progress: where it is.
        recorder: gets the warning.
        loss: of the next batch, as the log has it.
    """

    def __init__(
        self, training: Training, progress: Progress, recorder: Recorder, loss: float
    ) -> None:
        self._progress, self._recorder, self._loss = progress, recorder, loss
        self._next = progress.batches_done + 1
        rough = training.device.type != "cpu" or training.compile or training.amp is not None
        self._tolerance = ROUGH if rough else EXACT
        recorder.listen(self)

    def batch(
        self,
        epoch: int,
        batch: int,
        batches_done: int,
        loss: float,
        lr: float,
        lrs: tuple[float, ...] = (),
    ) -> None:
        """The first batch of the resumed run."""
        self._recorder.unlisten(self)
        if batches_done == self._next and not math.isclose(
            loss, self._loss, rel_tol=self._tolerance, abs_tol=1e-9
        ):
            text = (
                f"not exact: the first batch since the checkpoint has loss {loss:.6g}, and had "
                f"{self._loss:.6g} before: something is carried from batch to batch that is no "
                "buffer of the model, and no checkpoint keeps it"
            )
            self._recorder.change(self._progress, text, "warning")
