"""A run's batches and epochs in words, by whoever can best spare the time for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from ..protocol.snapshot import EpochSummary
from . import log_text as logtext
from .files import clean
from .log_text import Numbers, Span
from .scribe import Scribe
from .windows import Windows

AT_ONCE: Final = 256
"""Batches formatted here in one go: about 0.3 ms in which no other thread runs Python."""
TO_SCRIBE: Final = 2048
"""Batches handed to a second process in one go."""

State = dict[str, Any]


class Epoch(NamedTuple):
    """An epoch as the training thread tells it, which has no time to make more of it."""

    summary: EpochSummary
    best: tuple[float, int] | None
    best_val_loss: float | None
    elapsed: float

    def values(self) -> tuple[Any, ...]:
        """What `logtext.epoch` takes. A metric may be a number of NumPy's."""
        done, best = self.summary, self.best
        return (
            "epoch",
            done.epoch,
            done.batches,
            done.batches_done,
            float(done.train_loss),
            _float(done.val_loss),
            _float(done.val_metric),
            {clean(name): float(value) for name, value in done.metrics},
            _float(best and best[0]),
            best and best[1],
            _float(self.best_val_loss),
            done.seconds,
            done.batches_per_second,
            done.lr,
            round(self.elapsed, 6),
        )


class Wording:
    """Makes lines of batches, epochs and windows. One thread at a time uses it.

    Args:
        every: batches logged one by one, see `storage.windows`.
    """

    def __init__(self, every: int) -> None:
        self.windows = Windows(every)
        self.scribe: Scribe | None = None
        """The second process, while there is one."""
        self._alone = False
        """There can be no scribe, or none any more."""

    @property
    def at_once(self) -> int:
        """How many batches to hand over in one go."""
        return AT_ONCE if self.scribe is None else TO_SCRIBE

    @property
    def can_engage(self) -> bool:
        """Whether there may yet be a scribe that is not there now."""
        return self.scribe is None and not self._alone

    def engage(self, last: int) -> None:
        """Take on a scribe, if it can help with batches such as this one, counted from 1."""
        if self.can_engage and self.windows.apart(last):
            try:
                self.scribe = Scribe()
            except OSError:
                self._alone = True

    def dismiss(self) -> None:
        """Let the scribe go."""
        if self.scribe is not None:
            self.scribe.close()
            self.scribe = None

    def text(
        self,
        losses: Numbers,
        times: Numbers,
        told: Iterable[tuple[int, Span | Epoch | State]],
        last: int,
    ) -> bytes:
        """All lines of batches up to the one with the number `last`, and of what stands between
        them; see `storage.log_text.text`. The open window of a state is filled in.
        """
        if losses and not self.windows.apart(last):
            self.dismiss()  # windows are made of few lines
        if losses and self.scribe is not None:  # no window is open, as the states say already
            try:
                return self.scribe.text(losses, times, _plain(told))
            except OSError:  # it took nothing with it
                self.dismiss()
                self._alone = True
        return logtext.text(losses, times, told, self.windows.lines, self._line)

    def _line(self, one: Epoch | State) -> bytes:
        """An epoch's line; none for a state, which learns of the open window."""
        if isinstance(one, Epoch):
            return logtext.epoch(one.values())
        one["window"] = self.windows.state()
        return b""


def _plain(
    told: Iterable[tuple[int, Span | Epoch | State]],
) -> Iterator[tuple[int, Sequence[Any]]]:
    """What a scribe is told."""
    for at, one in told:
        if isinstance(one, Epoch):
            yield at, one.values()
        elif isinstance(one, Span):
            yield at, one


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
