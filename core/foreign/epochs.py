"""How many epochs a script means to train: read from the loops that it is inside of."""

from __future__ import annotations

import ast
import inspect
import operator
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

from ..protocol.snapshot import Certainty
from ..training.own_code import is_own

FRAMEWORKS: Final = {
    "lightning.pytorch.loops.fit_loop": "self.max_epochs",
    "pytorch_lightning.loops.fit_loop": "self.max_epochs",
    "transformers.trainer": "num_train_epochs - epochs_trained",
    "ignite.engine.engine": "self.state.max_epochs",
    "keras.src.backend.torch.trainer": "epochs - initial_epoch",
    "skorch.net": "epochs",
    "fastai.learner": "self.n_epoch",
}
"""What tells it in a function of theirs, by the function's module."""
ENDLESS: Final = 1 << 31
"""As many epochs are meant for no number."""
_SIGNS: Final[dict[type, Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}


class EpochLoop(NamedTuple):
    """A loop over epochs that a script is inside of."""

    epochs: int | None = None
    """How many it has; None where that can't be told."""
    sure: Certainty = Certainty.UNKNOWN
    place: tuple[str, int] | None = None
    """Its file and line; None of a framework's."""
    turn: Any = None
    """Its variable, if that tells one turn from the next, else None."""


def epoch_loop(frame: FrameType | None) -> EpochLoop | None:
    """The innermost loop over epochs around this frame; None if there is none.

    Nothing of the script is executed: numbers, names, attributes, items and sums of them are read.
    """
    while frame is not None:
        told = FRAMEWORKS.get(frame.f_globals.get("__name__", ""))
        if told is not None:
            found = _value(ast.parse(told, mode="eval").body, frame)
            if isinstance(found, int) and 0 < found < ENDLESS:
                return EpochLoop(found, Certainty.EXACT)
        elif is_own(frame.f_code.co_filename):
            file, line = frame.f_code.co_filename, frame.f_lineno
            for loop in reversed(_loops(file)):
                if loop.lineno <= line <= (loop.end_lineno or 0):
                    return _read(loop, frame, (file, loop.lineno))
        frame = frame.f_back
    return None


def _read(loop: ast.For, frame: FrameType, place: tuple[str, int]) -> EpochLoop:
    length = _length(loop.iter, frame) or None
    sure = Certainty.INFERRED if length else Certainty.UNKNOWN
    target = loop.target.elts[0] if isinstance(loop.target, ast.Tuple) else loop.target
    turn = None if length == 1 else _value(target, frame)
    return EpochLoop(length, sure, place, turn if type(turn) in (int, str) else None)


@cache
def _loops(file: str) -> tuple[ast.For, ...]:
    """The loops over epochs in a file, by their names, outer ones first."""
    try:
        tree = ast.parse(Path(file).read_bytes())  # which says how they are encoded
    except (OSError, ValueError, SyntaxError):
        return ()
    loops = (node for node in ast.walk(tree) if isinstance(node, ast.For))
    named = (one for one in loops if "epoch" in _head(one).lower())
    return tuple(sorted(named, key=lambda one: (one.lineno, one.col_offset)))


def _head(loop: ast.For) -> str:
    return f"{ast.unparse(loop.target)} in {ast.unparse(loop.iter)}"


def _length(each: ast.expr, frame: FrameType) -> int | None:
    """How often `for _ in range(...)` goes round, a progress bar around it or not."""
    if not isinstance(each, ast.Call) or not each.args:
        return None
    name = each.func.attr if isinstance(each.func, ast.Attribute) else ast.unparse(each.func)
    if name not in ("range", "trange"):
        return _length(each.args[0], frame)
    bounds = [_value(one, frame) for one in each.args]
    if not all(isinstance(bound, int) for bound in bounds) or bounds[2:] == [0]:
        return None
    try:
        return len(range(*bounds))
    except OverflowError:  # as good as endless
        return None


def _value(written: ast.expr, frame: FrameType) -> Any:
    """What a plain expression is worth in a frame; None where it is not plain."""
    match written:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            return _variable(name, frame)
        case ast.Attribute(owner, name):
            return _attribute(_value(owner, frame), name)
        case ast.Subscript(owner, ast.Constant(key)):
            return _item(_value(owner, frame), key)
        case ast.Call(func=ast.Name("int"), args=[inner]):
            return _whole(_value(inner, frame))
        case ast.BinOp(left, sign, right) if type(sign) in _SIGNS:
            pair = [_value(one, frame) for one in (left, right)]
            divides = isinstance(sign, ast.FloorDiv)
            if all(type(one) is int for one in pair) and (pair[1] or not divides):
                return _SIGNS[type(sign)](*pair)
    return None


def _item(owner: Any, key: Any) -> Any:
    """What a plain list or dict has there."""
    if type(owner) in (list, tuple, dict):
        with suppress(LookupError, TypeError):
            return owner[key]
    return None


def _whole(value: Any) -> int | None:
    """What `int` makes of it."""
    if type(value) in (int, float, str):
        with suppress(ValueError, OverflowError):
            return int(value)
    return None


def _attribute(owner: Any, name: str) -> Any:
    """What an object has under this name, by itself or by a property of a framework's."""
    computed = inspect.getattr_static(type(owner), name, None)
    if isinstance(computed, property):
        ours = type(owner).__module__.startswith(("lightning.", "pytorch_lightning."))
        return getattr(owner, name) if ours else None
    return getattr(owner, "__dict__", {}).get(name)


def _variable(name: str, frame: FrameType) -> Any:
    code = frame.f_code
    if name in (*code.co_varnames, *code.co_cellvars, *code.co_freevars):
        if {"locals", "vars"} & {*code.co_names}:  # it may hold what would be emptied below
            return None
        known = frame.f_locals
        found = known.get(name)
        if type(known) is dict and code.co_flags & inspect.CO_OPTIMIZED:
            known.clear()  # a copy of the variables, which would keep tensors alive
        return found
    return frame.f_globals.get(name)
