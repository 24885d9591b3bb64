"""Batches and epochs of a loop that is not ours, as far as its loaders and updates show them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from ..protocol.snapshot import Certainty
from ..training.data import Batches, batch_count
from ..training.progress import Progress, samples_in
from .epochs import EpochLoop

AHEAD: Final = 2
"""Batches that a loop may fetch before it works on the first of them."""


class LoaderPass:
    """One time through a loader."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.samples = 0
        """Of the batch that it gave last."""
        self.updates = 0
        """Updates before that batch."""
        self.loop: EpochLoop | None = None
        """The loop over epochs around it, where that can be told."""
        self.trained = False
        """Whether the model was trained on one of its batches."""
        self.dropped: Any = None
        """Tells when its iterator is gone."""


class LoopBatches:
    """Counts batches and epochs: each pass over a loader is an epoch, unless the model was only
    validated in it, or it goes on beside another one, as in `zip`, or the loop over epochs is still
    at the same turn. Without a loader each turn of that is an epoch.

    Args:
        progress: counts them.
        end_batch: is called when a batch is over; it counts it in `progress`.
        end_epoch: is called when an epoch of at least one batch is over.
        find_loop: finds the loop over epochs that the loop is inside of.
        by_update: where there is no loader, an update ends a batch; and what a loader gives is a
            batch only once it has been worked on.
    """

    def __init__(
        self,
        progress: Progress,
        end_batch: Callable[[int], None],
        end_epoch: Callable[[], None],
        find_loop: Callable[[], EpochLoop | None],
        *,
        by_update: bool,
    ) -> None:
        self.batches: Batches = ()
        """What is gone through."""
        self.per_epoch: int | None = None
        """None before the first epoch, and where the loader can't tell."""
        self.epochs: tuple[int, Certainty] = (0, Certainty.UNKNOWN)
        """How many the loop means to train, and how surely that is known."""
        self.worked = False
        """Whether the oldest batch at hand has been in the model."""
        self.evaluated = False
        """Whether it was used for validation."""
        self.fetched_elsewhere = False
        """Whether another thread goes through the loader."""
        self.learned = False
        """Whether the oldest batch at hand has given gradients that no update has taken yet."""
        self._progress, self._ends_batch, self._ends_epoch = progress, end_batch, end_epoch
        self._by_update, self._find_loop = by_update, find_loop
        self.last = 0
        """Batches of the last epoch that is over; 0 before it."""
        self.places: set[tuple[str, int]] = set()
        """Of the loops over epochs."""
        self._turn: tuple[Any, Any] | None = None
        """Which loop over epochs is in which turn of it, where that is known."""
        self._in_parts = False
        """Whether an epoch has more than one pass."""
        self._leader: LoaderPass | None = None
        """The pass whose batches are counted; None between two of them."""
        self._given: deque[int] = deque()
        """The batches that the loop was given and has not finished, by their numbers of samples."""
        self._exhausted = False
        """Whether the loader has no more, while the loop still works on what it was given."""
        self.over = False
        """Whether the epoch has no more batches; what is validated now belongs to it."""

    def pass_begins(self, one: LoaderPass, *, elsewhere: bool) -> None:
        """The loop goes through a loader; `elsewhere` in another thread."""
        self.fetched_elsewhere = elsewhere
        if self._leader is None or (self.evaluated and not self._leader.trained):
            self._lead(one)
        elif self.worked:  # a validation inside an epoch, say
            self.end_batch()

    def _lead(self, one: LoaderPass) -> None:
        """From now on the batches of this pass are counted."""
        self._finish_batches()
        self._leader = one

    def wants(self, one: LoaderPass) -> bool:
        """The loop asks for a batch; whether this is a pass whose batches are counted."""
        if one is not self._leader:
            if not self.worked:
                return False
            # The loop works on its batches, and the pass before was given up.
            self._given.clear()
            self._lead(one)
            self._given.append(one.samples)
        # A loop that fetches ahead asks for a batch before it has worked on the last one.
        too_many = len(self._given) > AHEAD
        if self.worked or (too_many and not self._by_update):
            self.end_batch()
        elif self._given and (self.evaluated or too_many):
            self._given.popleft()  # it was no batch to train on
        self.evaluated = False
        return True

    def gets(self, one: LoaderPass, batch: Any) -> None:
        """The loader gives a batch."""
        one.samples, one.updates = samples_in(batch), self._progress.updates
        if self._leader is None:
            self._lead(one)  # the one before it was left meanwhile
        if one is self._leader:
            self._given.append(one.samples)

    def pass_is_left(self, one: LoaderPass) -> None:
        """The loop won't ask for another one."""
        if one is self._leader:
            if self.worked and self._progress.updates > one.updates:
                self.end_batch()
            self._given.clear()
            self._leader = None

    def pass_ends(self, one: LoaderPass) -> None:
        """The loader has no more."""
        if one is self._leader:
            # Before the look at what was given, which another thread takes from.
            self._leader, self._exhausted = None, True
            if not self._given:
                self.over = True

    def close(self) -> None:
        """Close an epoch that was over: training goes on, and no validation of it will come."""
        if self.over:
            self.over = False
            if self._progress.batch:
                self.last = self._progress.batch
                self._ends_epoch()

    def begins(self) -> None:
        """Something is about to be trained on: in the epoch under way, or in another one."""
        leader = self._leader
        if leader is not None and leader.batches is self.batches and not self.over:
            return
        alone = leader is None and not self._given and self._by_update
        loop = leader.loop if leader is not None else self._find_loop() if alone else None
        turn = None if loop is None or loop.turn is None else (loop.place, loop.turn)
        if loop is not None:
            if loop.epochs is not None:
                self.epochs = loop.epochs, loop.sure
            if loop.place is not None:
                self.places.add(loop.place)
        if turn is not None and turn == self._turn:
            self._in_parts = self._in_parts or self.over
            self.over = False
        elif turn is not None and self._turn is not None:
            self.over = True
        self.close()
        self._turn = turn or self._turn

    def works(self) -> None:
        """The oldest batch at hand is trained on."""
        self.worked, self.learned = True, False
        if self._leader is not None and self.batches is not self._leader.batches:
            self.batches = self._leader.batches
            self.per_epoch = batch_count(self.batches)
        if self._leader is not None:
            self._leader.trained = True
        if self._in_parts:
            self.per_epoch = None

    def goes_on(self) -> None:
        """The model is trained on something more. A loop that fetches what it accumulates gradients
        over all at once goes on to the next of it, without an update between.
        """
        if self.learned and self.worked and len(self._given) > 1 and not self.fetched_elsewhere:
            self.end_batch()

    def updated(self, *, first: bool) -> None:
        """An optimizer has taken its step: the first of several, or another one."""
        self.learned = False
        if self._given and (self._exhausted or self.fetched_elsewhere):
            self.end_batch()
            if self._exhausted and not self._given:
                self.over = True
        elif first and self._by_update and not self._given and self._leader is None:
            self.end_batch()

    def end_batch(self) -> None:
        """The batch under way is over."""
        if self.over:
            self.close()
        self.worked = False
        self._ends_batch(self._given.popleft() if self._given else 0)

    def _finish_batches(self) -> None:
        while self._given and (self.worked or not self._by_update):
            self.end_batch()
        self._given.clear()  # of a script, what it only looked at
        self._exhausted, self.over = False, True

    def finish_epoch(self) -> None:
        """The loop is over: close the epoch under way, unless the loader had more batches for it,
        and the epoch before it had more as well.
        """
        ended = self._exhausted or self.over
        self._finish_batches()
        known = self.last if self._turn is not None else 0
        whole = min(self.last or math.inf, self.per_epoch or known)
        self.over = ended or self._progress.batch >= whole
        self.close()
