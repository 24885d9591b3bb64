"""Work in a forked child: a process that has imported everything, and built nothing."""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import TypeVar

import torch._dynamo  # noqa: F401 - with the first optimizer it would be, in every child

T = TypeVar("T")


class ChildError(RuntimeError):
    """A child did not come to its end; the text says how it failed."""


def forked(work: Callable[[], object], *, output: int | None = None) -> int:
    """Start `work` in a child that leads a session of its own; its process id.

    Args:
        work: what it gives, if it is a whole number, is the child's exit code.
        output: the file descriptor of stdout and stderr; nowhere if left out.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code: object = 99
    try:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0)
        for number in (1, 2):
            os.dup2(nowhere if output is None else output, number)
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code if isinstance(code, int) else 0)


def ended(child: int, timeout: float = 120.0) -> int:
    """Wait for a child to end; its exit code, or minus the signal that killed it.

    Raises:
        ChildError: it did not, and was killed.
    """
    end = time.monotonic() + timeout
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise ChildError(f"a child did not end within {timeout:g} s")
        select.select((), (), (), 0.005)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def printed_by(work: Callable[[], object]) -> tuple[int, str]:
    """The exit code of a child that does it, and what it writes on stdout and stderr.

    Raises:
        ChildError: it did not end, and was killed.
    """
    reads, writes = os.pipe()  # a pipe has no limit on its size
    child = forked(work, output=writes)
    os.close(writes)
    with os.fdopen(reads, "rb") as pipe:
        text = pipe.read().decode()
    return ended(child), text


def in_child(work: Callable[[], T], timeout: float = 300.0) -> T:
    """What `work` gives in a child.

    Raises:
        ChildError: it raised, was killed, or took too long.
    """
    reads, writes = os.pipe()

    def told() -> None:
        os.close(reads)
        try:
            answer: tuple[bool, object] = (True, work())
        except BaseException:
            answer = (False, traceback.format_exc())
        with os.fdopen(writes, "wb") as pipe:
            pickle.dump(answer, pipe)

    child = forked(told)
    os.close(writes)
    pieces: list[bytes] = []
    end = time.monotonic() + timeout
    with os.fdopen(reads, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
            piece = pipe.read(1 << 20)
            if not piece:
                break
            pieces.append(piece)
        else:
            os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not pieces:
        raise ChildError(f"a child ended with {code}")
    good, answer = pickle.loads(b"".join(pieces))
    if not good:
        raise ChildError(str(answer))
    return answer  # type: ignore[no-any-return]
