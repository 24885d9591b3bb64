"""A loop of one's own whose process is stopped by a signal: that time is none of training's."""

from __future__ import annotations

import signal
import threading

from forked import piped  # tests is on the path

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
    with piped("-c", SCRIPT) as (child, printed, _):
        assert printed.readline() == b"trains\n"
        child.send_signal(signal.SIGSTOP)
        threading.Event().wait(1.5)  # a shorter stop is no matter
        child.send_signal(signal.SIGCONT)
        told, left_out = printed.read().decode().split("\n")[:2]
        assert child.wait() == 0
    assert told.startswith("the process was stopped for ")
    assert float(left_out) > 1
