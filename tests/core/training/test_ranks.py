"""Several processes train one model, and in each `tests/ranks.py` checks everything."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from forked import Forked

TESTS = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_ranks_train_like_one_process_and_stay_alike_whatever_is_asked_of_them() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    job = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    job |= {"MASTER_PORT": str(port)}
    ranks = [
        Forked(
            [str(TESTS / "ranks.py")],
            [0, 1, 2],
            {**os.environ, **job, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [rank.wait() for rank in ranks] == [0, 0]
