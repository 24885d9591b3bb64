"""F24: a checkpoint with the right digest of which one value is not the run's.

A trial resumes a run whose newest checkpoint has one value of another shape, type, layout, device
or size, or lacks it. Lost is each that ends in anything but a resumed run or one line, or that
takes more memory than a run does.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import resource
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from faults.result import Result, in_own_process
from torch import Tensor

from fivestep.core.storage.checkpoint import CheckpointStore, save
from fivestep.tui.cli import app

TRAIN: Final = ("train", "iris-mlp", "--batch-size", "30", "--epochs", "2", "--device", "cpu")
MOST: Final = 1 << 30
"""Bytes that all trials together may add to the largest memory of the process."""
Leaf = tuple[Any, Any]
"""What holds a value, and under which key."""


def leaves(part: Any) -> Iterator[Leaf]:
    """Every value in a nested state."""
    items = part.items() if isinstance(part, dict) else enumerate(part)
    for key, value in items:
        if isinstance(value, (dict, list)) and value:
            yield from leaves(value)
        if not isinstance(part, tuple):
            yield part, key


def tensor(draw: random.Random, like: Tensor) -> tuple[str, Tensor]:
    """A tensor that is not like this one."""
    match draw.randrange(7):
        case 0:
            shape = draw.choice(((5,), (1, 1), (0,), (), (3, 1, 2)))
            return f"shape {shape}", torch.zeros(shape, dtype=like.dtype)
        case 1:
            dtype = draw.choice((torch.float64, torch.int8, torch.bool, torch.complex64))
            return f"type {dtype}", torch.zeros(like.shape, dtype=dtype)
        case 2:
            return "on meta", torch.zeros(like.shape, dtype=like.dtype, device="meta")
        case 3:
            return "sparse", torch.zeros(like.shape or (1,)).to_sparse()
        case 4:
            return "3e9 elements", torch.zeros(1).expand(3_000_000_000)
        case 5:
            return "transposed", torch.zeros(tuple(reversed(like.shape)), dtype=like.dtype)
        case _:
            return "NaN", torch.full(like.shape, float("nan"))


def other(draw: random.Random, value: Any) -> tuple[str, Any]:
    """Something else in the place of a value, and what it is in words."""
    if isinstance(value, Tensor) and draw.randrange(4):
        return tensor(draw, value)
    made = draw.choice(
        (None, True, -1, 10**30, 0.5, float("nan"), float("inf"), "x" * 50, [], {}, [1], {"a": 1})
    )
    return repr(made), made


def said(*arguments: str) -> tuple[int, str, str]:
    """The exit code of a command, and what it printed on stdout and stderr."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = app.run(list(arguments))
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return code, texts[0], texts[1]


def _trial(draw: random.Random, good: Path, run: Path) -> tuple[str, str]:
    """How it ended, and what was wrong; "" if nothing was."""
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(good, run)
    newest = CheckpointStore(run / "checkpoints").newest()
    state = dict(newest.state)
    holder, key = draw.choice(list(leaves(state)))
    if draw.randrange(8):
        what, holder[key] = other(draw, holder[key])
    else:
        what = "missing"
        holder.pop(key)
    try:
        save(newest.path, state)
    except Exception:
        return "not saved", ""
    try:
        code, out, err = said("resume", run.name, "--no-ui")
    except BaseException as error:
        return "broke", f"{key} {what}: {type(error).__name__}: {error}"
    if code == 2:
        return "refused", "" if err.count("\n") == 1 else f"{key} {what}: {err[-300:]}"
    if code != 0 or "Traceback" in out + err:
        return "failed", f"{key} {what}: {code}: {(out + err)[-400:]}"
    return "passed over" if "passed over" in out + err else "taken", ""


def _main(trials: int, seed: int) -> Result:
    draw, wrong = random.Random(seed), []
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as made:
        os.environ["FIVESTEP_RUNS"] = str(Path(made) / "runs")
        runs, good = Path(made) / "runs", Path(made) / "good"
        found = said(*TRAIN, "--no-ui", "--name", "one", "--save-every", "1epochs")
        assert found[0] == 0, found
        (runs / "one" / "outcome.json").unlink()
        shutil.move(runs / "one", good)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(trials):
            end, what = _trial(draw, good, runs / "one")
            ends[end] += 1
            if what:
                wrong.append(f"trial {number}: {what}")
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        if grown > MOST:
            wrong.append(f"the process grew by {grown:,} bytes")
    told = ", ".join(f"{count} {end}" for end, count in ends.items())
    return Result("F24", "a checkpoint that does not fit", trials, len(wrong), (told, *wrong[:20]))


def campaign(trials: int, seed: int) -> Result:
    """So many checkpoints, in a process of its own."""
    return in_own_process(__name__, trials, seed)


if __name__ == "__main__":
    sys.stdout.write(_main(int(sys.argv[1]), int(sys.argv[2])).to_json())
