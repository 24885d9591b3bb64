"""What each rank does is read over its socket, and passed on to who is attached to the first."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from rank_rows import rank  # tests is on the path
from served import Served, runtime

from fivestep.core.protocol.rank_times import RankNow
from fivestep.core.protocol.snapshot import Outcome
from fivestep.core.protocol.steps import State
from fivestep.core.serving.rank_reader import RankReader
from fivestep.core.session.rank_agreement import told_by_ranks


def test_the_first_rank_reads_the_others_and_passes_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with runtime():
        first, second = Served(), Served()
        monkeypatch.setattr(second.session, "ranks", lambda: (rank(1, batches_done=7),))
        # The third has got no socket, the fourth is on a machine of which nothing is known.
        addresses = [("here", ""), ("here", second.address), ("here", ""), ("far", "/run/x.sock")]
        reader = RankReader(lambda: rank(0), addresses)
        monkeypatch.setattr(first.session, "ranks", reader.read)
        remote, alone = first.attach(), second.attach(watches=False)
        found: tuple[RankNow, ...] = ()
        while len(found) < 4 or found[1].process == 0:
            found = remote.ranks()
        assert [one.rank for one in found] == [0, 1, 2, 3]
        assert [one.host for one in found[2:]] == ["here", "far"]
        assert found[1].batches_done == 7
        assert found[1].silent < found[2].silent
        assert [one.unseen for one in found] == [False, False, False, True]
        reader.close()
        monkeypatch.undo()
        assert alone.ranks() == ()
        for run in (first, second):
            run.end()


def test_a_run_of_one_process_is_asked_once() -> None:
    with runtime():
        served = Served()
        remote = served.attach(watches=False)
        assert remote.ranks() == ()
        remote.picture(None)
        assert remote.ranks() == ()
        served.end()


def test_a_rank_that_has_ended_without_a_word_is_named(tmp_path: Path) -> None:
    with runtime():
        served = Served()
        dead = tmp_path / "dead.sock"
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(str(dead))
            killed.listen()
        addresses = [("here", ""), ("here", served.address), ("here", str(dead)), ("far", "/no")]
        assert RankReader(lambda: rank(0), addresses).gone() == (2,)
        served.end()
    silent = SimpleNamespace(failure=lambda: None)
    failed = Outcome(State.FAILED, "lost", traceback="gloo/transport")
    for gone, who in (((), "another rank has"), ((2,), "rank 2 has"), ((1, 2), "ranks 1, 2 have")):
        told = told_by_ranks(silent, failed, gone)  # type: ignore[arg-type]
        assert told.reason == f"{who} gone, and did not say why"
