"""Several processes train one model: one torchrun, in which `tests/ranks.py` checks everything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_ranks_train_like_one_process_and_stay_alike_whatever_is_asked_of_them() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--local-addr=127.0.0.1", "--nproc-per-node=2", str(TESTS / "ranks.py")),
        ],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(TESTS), *sys.path)),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
