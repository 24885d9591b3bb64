"""What a training carries from batch to batch where no state dict has it: a recurrent state on a
module, a counter, a variable of a function around the model.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any, Final

import torch
from torch import Tensor, nn

from .progress import tensors_in, to_device
from .training import Training

SMALL: Final = 1_000_000
"""Numbers of a tensor that is compared with a copy; a larger one only changes by being replaced."""
ITEMS: Final = 1_000
"""Entries of a list or a table that are looked at."""
DEEPEST: Final = 3
"""Lists within lists that are looked at."""
OTHERS: Final = sys.stdlib_module_names | {"torch", "numpy"}
"""Whose objects are not looked into."""
_OF_TORCH: Final = frozenset(vars(nn.Module()))

Place = tuple[str, Any, Callable[[Any], None]]
"""Its name, what is there, and how something else is put there."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A tensor, and a copy of what it held if it is small."""

    tensor: Tensor
    content: Tensor | None


class Carried:
    """Remembers how such places are now, and tells and undoes what has changed since.

    Looked at are the attributes of modules that are not torch's own, and the variables from
    outside that their forward, the criterion and `unpack` name: tensors, plain values, lists and
    tables of them, and the attributes of a person's own objects.
    """

    def __init__(self, training: Training) -> None:
        self._training = training
        self._before = {name: (value, _seen(value)) for name, value, _ in _places(training)}

    def changed(self) -> dict[str, Any]:
        """What is otherwise now, by the place's name: the values themselves, not copies."""
        return {
            name: value
            for name, value, _ in _places(self._training)
            if name not in self._before or not _same(value, self._before[name][1])
        }

    def put(self, values: Mapping[str, Any], *, rewinding: bool = False) -> None:
        """Put values there as `changed` gave them; every other place is as it was before again.

        Args:
            values: by the place's name.
            rewinding: within one run. What functions count goes on then: they may look for an
                event of this process, and not for a batch.
        """
        owners, device = dict(_owners(self._training)), self._training.device
        now = {name: (value, put) for name, value, put in _places(self._training)}
        if rewinding:
            counts = {name for name, (value, _) in now.items() if _counts(name, value)}
            counts = {name for name in counts if _counts(name, values.get(name))}
            values = {name: value for name, value in values.items() if name not in counts}
            now = {name: place for name, place in now.items() if name not in counts}
        for name, kept in values.items():
            path, _, attribute = name.rpartition(".")
            value = to_device(kept, device)
            if name in now:
                _assign(*now[name], value)
            elif path in owners and not callable(getattr(owners[path], attribute, None)):
                setattr(owners[path], attribute, value)
        for name in now.keys() - values.keys():
            path, _, attribute = name.rpartition(".")
            if name not in self._before:
                if path in owners:
                    delattr(owners[path], attribute)
                continue
            before, seen = self._before[name]
            if not _same(now[name][0], seen):
                now[name][1](before)
                _assign(before, now[name][1], _unseen(seen))


def _modules(training: Training) -> Iterator[tuple[str, nn.Module]]:
    """Every module of model and criterion that is not torch's own, by a name."""
    for part in ("model", "criterion"):
        root = getattr(training, part)
        if isinstance(root, nn.Module):
            for path, module in root.named_modules():
                if not type(module).__module__.startswith("torch."):
                    yield f"{part}.{path}" if path else part, module


def _owners(training: Training) -> Iterator[tuple[str, Any]]:
    """What has attributes that count, by a name: modules, and the objects that they know."""
    criterion = training.criterion
    for path, module in _modules(training):
        yield path, module
        inner = ((f"{path}.{name}", value) for name, value in _attributes(module).items())
        yield from (pair for pair in inner if _is_object(pair[1]))
    for name, value, _ in _variables(training):
        if _is_object(value):
            yield name, value
    if _is_object(owner := getattr(criterion, "__self__", criterion)):
        yield "criterion", owner


def _is_object(value: Any) -> bool:
    """Whether it is of a person's own class, or a mere bag of attributes."""
    kind = type(value)
    if isinstance(value, (nn.Module, type, ModuleType)):
        return False
    top = kind.__module__.partition(".")[0]
    own = kind is SimpleNamespace or top not in OTHERS
    return own and (hasattr(value, "__dict__") or bool(_slots(value)))


def _attributes(owner: Any) -> dict[str, Any]:
    """What an object's own attributes are, those in `__slots__` too."""
    found = dict(getattr(owner, "__dict__", ()))
    for name, slot in _slots(owner).items():
        with suppress(AttributeError):  # nothing yet
            found[name] = slot.__get__(owner)
    return found


def _slots(owner: Any) -> dict[str, Any]:
    inherited = [vars(kind).items() for kind in type(owner).__mro__]
    return {name: one for own in inherited for name, one in own if inspect.ismemberdescriptor(one)}


def _places(training: Training) -> Iterator[Place]:
    for path, owner in _owners(training):
        for name, value in _attributes(owner).items():
            if name not in _OF_TORCH and _is_state(value):
                # A frozen object of a person's own refuses `setattr`.
                put: Any = setattr if isinstance(owner, nn.Module) else object.__setattr__
                yield f"{path}.{name}", value, partial(put, owner, name)
    for name, value, put in _variables(training):
        if _is_state(value):
            yield name, value, put


def _variables(training: Training) -> Iterator[Place]:
    """The variables from outside that forward, criterion and `unpack` name."""
    found = [type(module).forward for _, module in _modules(training)]
    found += [one for one in (training.criterion, training.unpack) if inspect.isfunction(one)]
    for function in dict.fromkeys(found):
        for name, value, put in _named_in(inspect.unwrap(function)):
            yield f"{name} ({function.__qualname__})", value, put


def _named_in(function: Any) -> Iterator[Place]:
    code = getattr(function, "__code__", None)
    if code is None:
        return
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents, partial(setattr, cell, "cell_contents")
        except ValueError:  # nothing yet
            yield name, None, partial(setattr, cell, "cell_contents")
    found = function.__globals__
    for name in code.co_names:
        if name in found and not name.startswith("__"):
            yield name, found[name], partial(found.__setitem__, name)


def _is_state(value: Any, deep: int = 0) -> bool:
    """Whether it is a tensor, a plain value, or made of them, and no parameter is among them."""
    if value is None or type(value) in (Tensor, bool, int, float, str):
        return True
    if type(value) not in (list, tuple, dict) or len(value) > ITEMS or deep > DEEPEST:
        return False
    if isinstance(value, dict) and not all(type(key) in (str, int) for key in value):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return all(_is_state(one, deep + 1) for one in inner)


def _seen(value: Any) -> Any:
    """The same with a `_Seen` for each tensor."""
    if isinstance(value, Tensor):
        plain = value.layout is torch.strided and value.device.type != "meta"
        small = plain and value.numel() <= SMALL
        return _Seen(value, value.detach().clone() if small else None)
    if isinstance(value, dict):
        return {key: _seen(one) for key, one in value.items()}
    return type(value)(map(_seen, value)) if isinstance(value, (list, tuple)) else value


def _unseen(seen: Any) -> Any:
    """What `_seen` was made of, with what it held then."""
    if isinstance(seen, _Seen):
        if seen.content is not None and not _same(seen.tensor, seen):
            with torch.no_grad():
                seen.tensor.copy_(seen.content)
        return seen.tensor
    if isinstance(seen, dict):
        return {key: _unseen(one) for key, one in seen.items()}
    return type(seen)(map(_unseen, seen)) if isinstance(seen, (list, tuple)) else seen


def _same(value: Any, seen: Any) -> bool:
    """Whether a value is what `_seen` was made of, and holds the same."""
    if isinstance(seen, _Seen):
        then = seen.content
        if not isinstance(value, Tensor) or then is None:
            return value is seen.tensor
        like = (value.shape, value.dtype, value.device) == (then.shape, then.dtype, then.device)
        return like and torch.equal(value, then)
    if type(value) is not type(seen):
        return False
    if isinstance(value, dict):
        return value.keys() == seen.keys() and all(_same(value[key], seen[key]) for key in value)
    if isinstance(value, (list, tuple)):
        return len(value) == len(seen) and all(map(_same, value, seen))
    return bool(value == seen)


def _counts(name: str, value: Any) -> bool:
    """Whether it is a variable of a function without any tensor."""
    return name.endswith(")") and next(tensors_in(value), None) is None


def _assign(now: Any, put: Callable[[Any], None], value: Any) -> None:
    """Put a value in a place: into the tensor that is there, if it fits, which may have others that
    know it.
    """
    fits = isinstance(now, Tensor) and isinstance(value, Tensor)
    if fits and (now.shape, now.dtype) == (value.shape, value.dtype):
        with torch.no_grad():
            now.copy_(value)
    elif isinstance(now, list) and isinstance(value, list):
        now[:] = value
    elif isinstance(now, dict) and isinstance(value, dict):
        now.clear()
        now.update(value)
    else:
        put(value)
