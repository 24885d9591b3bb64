"""What is counted of a run depends on its batches alone, and its log gets each of them once."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from listeners import Keeper  # tests is on the path

from fivestep.core.protocol.snapshot import Best, Change, EpochSummary
from fivestep.core.protocol.steps import Task, TaskName
from fivestep.core.session.clock import Clock
from fivestep.core.session.recorder import Recorder
from fivestep.core.storage.batch_lines import MOST, BatchBlock
from fivestep.core.training.progress import Progress

PER_EPOCH = 1500


class Blocks:
    """A log that keeps the blocks."""

    def __init__(self) -> None:
        self.blocks: list[BatchBlock] = []
        self.epochs: list[int] = []
        self.best: list[tuple[Best | None, ...]] = []

    def batches(self, block: BatchBlock) -> None:
        self.blocks.append(block)

    def epoch(self, summary: EpochSummary, *best: Best | None) -> None:
        self.best.append(best)
        self.epochs.append(sum(len(block.times) for block in self.blocks))

    def change(self, change: Change) -> None: ...

    def rows(self) -> list[tuple[int, int, int, float, float, float]]:
        """Epoch, batch, batches_done, loss, lr and time of every batch."""
        return [
            (block.epoch, block.batch + i, block.batches_done + i, loss, lr, ended)
            for block in self.blocks
            for i, (loss, lr, ended) in enumerate(
                zip(block.losses, block.lrs, block.times, strict=True)
            )
        ]


def row(done: int) -> tuple[int, int, int, float, float, float]:
    epoch, batch = divmod(done - 1, PER_EPOCH)
    lr = 0.1 if done < 700 else 0.01
    return epoch + 1, batch + 1, done, math.nan if done == 1234 else 1 / done, lr, 5.0 + done


def train(record: Recorder, first: int, last: int) -> None:
    for done in range(first, last + 1):
        epoch, batch, *rest = row(done)
        record.batch(epoch, batch, *rest)
        if batch == PER_EPOCH:
            record.epoch(Progress(epoch=epoch, batches_done=done), 0.1, validated=False)


def plain(record: Recorder) -> str:
    """All that is counted, but for times; tensors in full, NaN equal to itself."""
    last = record.last and replace(record.last, seconds=0.0, batches_per_second=0.0)
    state = record.state() | {"epoch_so_far": None, "epoch_seconds": None, "last": last}
    torch.set_printoptions(precision=17, threshold=10**6)
    try:
        return repr(state)
    finally:
        torch.set_printoptions(profile="default")


@settings(max_examples=10, deadline=None)
@given(looks=st.sets(st.integers(1, 5000), max_size=20))
def test_looking_changes_nothing(looks: set[int]) -> None:
    record, watched = Recorder(Task(), Clock()), Recorder(Task(), Clock())
    train(record, 1, 5000)
    before = 0
    for look in sorted(looks | {5000}):
        train(watched, before + 1, look)
        before = look
        losses = [row(done)[3] for done in range(1, look + 1)]
        assert watched.first_loss == losses[0]
        epoch = losses[look // PER_EPOCH * PER_EPOCH :]
        total = 0.0
        for loss in epoch:
            total += loss
        assert repr(watched.epoch_loss) == repr(total / len(epoch) if epoch else None)
        assert repr(watched.state()["series"]["loss"]["recent"][-1]) == repr(losses[-1])
    assert plain(watched) == plain(record)


def test_a_log_gets_every_batch_once_in_blocks_that_are_bounded() -> None:
    log = Blocks()
    train(Recorder(Task(), Clock(), log=log), 1, 10_000)
    assert repr(log.rows()) == repr([row(done) for done in range(1, 10_001)])
    assert max(len(block.times) for block in log.blocks) <= MOST
    assert log.epochs == [*range(PER_EPOCH, 10_000, PER_EPOCH)]


def test_of_an_epoch_without_end_no_more_is_kept() -> None:
    log = Blocks()
    record = Recorder(Task(), Clock(), log=log)
    for done in range(1, 10_001):
        record.batch(1, done, done, 0.5, 0.1, 0.0)
    assert max(len(block.times) for block in log.blocks) == MOST


def test_batches_that_do_not_follow_are_not_taken_for_the_next() -> None:
    log = Blocks()
    record = Recorder(Task(), Clock(), log=log)
    rows = [(1, 2, 2, 0.1), (1, 3, 3, 0.1), (1, 7, 5, 0.1), (2, 1, 6, 0.1), (2, 2, 7, 0.2)]
    for epoch, batch, done, lr in rows:
        record.batch(epoch, batch, done, 0.5, lr, 1.0)
    assert [(*found[:3], found[4]) for found in log.rows()] == rows
    assert record.first_loss is None


def test_a_run_that_goes_back_tells_its_log_and_its_listener_again() -> None:
    log, listener = Blocks(), Keeper()
    record = Recorder(Task(), Clock(), listener, log)
    train(record, 1, 20)
    state = record.state()
    train(record, 21, 30)
    last = plain(record)
    record.restore(state, rewinding=True)
    train(record, 21, 30)
    assert plain(record) == last
    train(record, 31, 32)
    told = [found[2] for found in log.rows()]
    assert told == [*range(1, 31), *range(21, 33)]
    assert [found[2] for found in listener.batches] == told


@pytest.mark.parametrize(("task", "best"), [("classification", 2), ("language-model", 1)])
def test_one_best_is_recorded_logged_and_kept(task: TaskName, best: int) -> None:
    """A NaN, or an equal value, is no better one."""
    log = Blocks()
    record, name = Recorder(Task(task), Clock(), log=log), Task(task).metric_name
    values = [(0.5, 0.8), (0.6, 0.7), (0.6, 0.9), (math.nan, math.nan), (0.55, None)]
    for epoch, (metric, loss) in enumerate(values, start=1):
        record.validated(epoch, loss, {name: metric}, 0.1)
        summary = record.epoch(Progress(epoch=epoch), 0.1, validated=True)
        assert record.is_best(summary) == (epoch in (1, best))
    assert log.best[-1] == (record.best_metric, record.best_val_loss)
    assert log.best[-1] == (Best(values[best - 1][0], best), Best(0.7, 2))
    assert record.val_worse == (2 if best == 2 else 4)
