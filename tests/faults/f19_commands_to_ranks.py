"""F19: random commands at random moments to two ranks that train together.

Lost is the whole campaign if a rank waits for another one for good, or if their weights, counters
or learning rates differ in the end.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from faults.result import Result

from fivestep.core.protocol.rank import PARALLEL

TESTS = Path(__file__).parents[1]


def campaign(trials: int, seed: int) -> Result:
    """Send so many commands to the first rank, and a tenth as many to the other: half of them where
    each has the whole model, half where each has a part of it.
    """
    lost, notes = 0, list[str]()
    for parallel in PARALLEL:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
                *("--local-addr=127.0.0.1", "--nproc-per-node=2"),
                *(str(TESTS / "ranks.py"), str(trials // 2), str(seed), parallel),
            ],
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join((str(TESTS), *sys.path)), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        if done.returncode:
            lost += trials // 2
            notes.append(f"{parallel}: {done.stderr[-400:]}")
    return Result("F19", "commands to two ranks", trials, lost, tuple(notes))
