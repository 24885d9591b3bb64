"""Starts a run in several processes: torchrun, with this very command as each of them."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from ..terminal.imports import importing
from ..terminal.output import FAILED, complain, on_a_terminal
from ..terminal.terminal import Settings
from .detach import program

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

ENVIRONMENT: Final = {
    # torchrun's own store would outlive a killed process, and the next ones would wait in it.
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    # A batch may take long: torchrun would kill what has not ended in half a minute.
    "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "300",
    # What the others print about a lost one is told by the rank that is left.
    "TORCH_CPP_LOG_LEVEL": "ERROR",
}
"""What torchrun reads, unless somebody has said something else."""


def train_in_ranks(words: Sequence[str], count: int) -> int:
    """Run `fivestep` with these words in `count` processes on this machine; wait until they end.

    It is what `torchrun --standalone --nproc-per-node COUNT -m fivestep WORDS` does. Ctrl+C and
    SIGTERM reach every process, and the same again ends all of them at once; none is left behind.

    Returns:
        The exit code: that of the first process that failed; 130 or 143 for a signal; else 0.
    """
    terminal = Settings() if on_a_terminal() else None
    if terminal is not None:
        sys.stdout.write(f"starting {count} processes ...\r")  # whatever comes writes over it
        sys.stdout.flush()
    with importing():
        from torch.distributed.elastic.multiprocessing import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.run import parse_args, run

    cores = os.cpu_count() or 1
    for name, value in {**ENVIRONMENT, "OMP_NUM_THREADS": str(max(1, cores // count))}.items():
        os.environ.setdefault(name, value)
    logging.disable(logging.CRITICAL)  # torchrun's words: what there is to tell is told below
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)  # the processes see to their terminal
    torchrun = ["--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={count}"]
    torchrun += ["--signals-to-handle=SIGTERM,SIGINT"]
    arguments = parse_args([*torchrun, *program()[1:]])
    arguments.training_script_args = list(words)  # some begin like options of torchrun's
    try:
        run(arguments)
    except SignalException as error:
        return 128 + int(error.sigval)
    except ChildFailedError as error:
        return _failed(error, terminal)
    finally:
        logging.disable(logging.NOTSET)
        if terminal is not None:
            sys.stdout.write("\x1b[K")
        for child in psutil.Process().children(recursive=True):
            child.kill()
    return 0


def _failed(error: ChildFailedError, terminal: Settings | None) -> int:
    """Tell of a process that could not do so itself; the exit code."""
    failures = error.failures.items()
    # Whoever lost another rank fails, too, and may be seen first.
    rank, failure = min(failures, key=lambda one: (one[1].exitcode > 0, one[1].timestamp))
    if failure.exitcode > 0:
        if terminal is not None and Path(failure.error_file).is_file():
            complain(str(failure.message))  # it could not, beside the screen
        return int(failure.exitcode)
    if terminal is not None and not terminal.is_restored:  # the one that drew on it was killed
        terminal.restore()
    name = signal.Signals(-failure.exitcode).name
    complain(f"rank {rank} was ended by {name}, and the others with it")
    return FAILED
