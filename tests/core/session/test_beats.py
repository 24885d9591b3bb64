"""A loop of one's own whose process is stopped by a signal: that time is none of training's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

SCRIPT = """
import signal
import threading
import torch
from torch import nn
from fivestep.core.foreign.watched import Watched

model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
batches = [(torch.randn(4, 2), torch.randn(4, 1))] * 400
before = signal.getsignal(signal.SIGCONT)
with Watched(model, optimizer, nn.MSELoss()) as watched:
    for i, (x, y) in enumerate(watched(batches)):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
        threading.Event().wait(0.005)
        if i == 1:
            print("trains", flush=True)
    last = watched.latest()
assert signal.getsignal(signal.SIGCONT) is before
assert not [one for one in threading.enumerate() if one.name == "fivestep-beats"]
print(*(change.text for change in last.changes), sep="\\n")
print(last.elapsed - last.active)
"""


def test_time_in_which_the_process_was_stopped_is_left_out() -> None:
    child = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "trains\n"
    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    threading.Event().wait(1.5)  # a shorter stop is no matter
    os.kill(child.pid, signal.SIGCONT)
    told, left_out = child.communicate(timeout=60)[0].split("\n")[:2]
    assert told.startswith("the process was stopped for ")
    assert float(left_out) > 1
