"""Ranks: who waits for whom, which one holds the others up, and a row for each that is worth it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rank_rows import late_data, rank, times  # tests is on the path

from fivestep.core.protocol.rank_times import MOST_ROWS, RankNow, RankWatch, shown
from fivestep.core.protocol.steps import Step
from fivestep.tui.render.ranks import held_up, table, told, who_waits

from ..conftest import text, texts

SLOW_FORWARD = {Step.DATA: 0.02, Step.FORWARD: 0.6, Step.BACKWARD: 0.28, Step.UPDATE: 0.1}
ALL_WAIT = {Step.DATA: 0.5, Step.FORWARD: 0.2, Step.BACKWARD: 0.25, Step.UPDATE: 0.05}


@pytest.mark.parametrize(
    ("ranks", "words"),
    [
        ((rank(0), rank(1)), "no rank waits for another"),
        (
            (rank(0), late_data(1)),
            "rank 1 waits for data 40 %, rank 0 for it in backward ~38 %",
        ),
        (
            (rank(0), rank(1, SLOW_FORWARD), rank(2)),
            "rank 1 takes 30 % longer in forward, ranks 0 and 2 wait for it in backward ~30 %",
        ),
        ((rank(0, ALL_WAIT), rank(1, ALL_WAIT)), "all ranks wait for data 50 %, none for another"),
        ((rank(0),), ""),
    ],
)
def test_who_waits_for_whom(ranks: tuple[RankNow, ...], words: str) -> None:
    assert who_waits(times(*ranks)) == words


@pytest.mark.parametrize(
    ("ranks", "words"),
    [
        ((rank(0, seconds=20), rank(1)), ""),
        ((rank(0, seconds=20),), ""),
        (
            (rank(0, seconds=20), rank(1, seconds=21, step=Step.DATA)),
            "rank 1 has been in data of batch 401 for 21 s, rank 0 waits in backward",
        ),
        (
            (rank(0, seconds=20), rank(1, seconds=21, batches_done=399), rank(2, seconds=20)),
            "rank 1 has been in backward of batch 400 for 21 s, ranks 0 and 2 wait in backward",
        ),
        (
            (rank(0, seconds=20, step=Step.DATA), rank(1, seconds=21, step=Step.VALIDATE)),
            "rank 1 has been in validation after batch 400 for 21 s, rank 0 waits in data",
        ),
        (
            (rank(0, seconds=20), rank(1, seconds=21)),
            "all ranks have been in backward of batch 401 for 20 s",
        ),
        (
            (rank(0, seconds=1), rank(1, silent=15, step=Step.FORWARD)),
            "rank 1 has not answered for 15 s: it was in forward of batch 401",
        ),
    ],
)
def test_which_rank_holds_the_others_up(ranks: tuple[RankNow, ...], words: str) -> None:
    assert held_up(ranks) == words
    said = text(told(times(*ranks), 200, held=False))
    assert said == words or not words
    assert held_up(ranks) not in text(told(times(*ranks), 200, held=True)) or not words


def test_each_rank_has_a_row_with_its_step_and_its_shares() -> None:
    first, second, third = texts(table(times(rank(0), late_data(1)), 46))
    assert first.split() == ["rank", "now", "per", "batch", "data", "others"]
    assert second.split() == "0 backward 10 ms 2 % ~38 %".split()
    assert third.split() == "1 backward 10 ms 40 % ~0 %".split()
    assert all(len(row) == 46 for row in (first, second, third))
    far = replace(rank(2, {}), host="far", process=0, timed=0)
    assert "on far, unseen" in text(table(times(rank(0), late_data(1), far), 60))
    assert who_waits(times(rank(0), late_data(1), far)).startswith("rank 1 waits for data")
    assert held_up((rank(0, seconds=20), rank(1, seconds=1), far)) == ""
    silent = text(table(times(rank(0), rank(1, silent=15)), 60))
    assert "silent, 15 s" in silent


def test_of_many_ranks_the_slowest_the_fastest_the_median_and_the_odd_ones_are_shown() -> None:
    ranks = [rank(number) for number in range(64)]
    ranks[17], ranks[40] = late_data(17), late_data(40, 0.5)
    ranks[50] = rank(50, silent=5.0)
    chosen = [one.now.rank for one in shown(times(*ranks))]
    assert len(chosen) == MOST_ROWS
    assert {17, 40, 50} <= set(chosen)
    assert chosen == sorted(chosen)
    assert "rank, 8 of 64" in text(table(times(*ranks), 46))
    assert who_waits(times(*ranks)).startswith("rank 40 waits for data 50 %, ranks 0, 1 and 61 oth")


def test_a_run_that_went_back_begins_anew() -> None:
    watch = RankWatch().take((rank(0), rank(1)), 0.0)
    assert all(one.seconds is None for one in watch.take((rank(0), rank(1)), 1.0).times)
    before = (rank(0, batches_done=300), rank(1, batches_done=300))
    assert all(one.seconds is None for one in watch.take(before, 2.0).times)
    assert watch.take((), 3.0).times == ()
