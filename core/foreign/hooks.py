"""Hooks in a loop of one's own: they raise nothing into it, and all of them go."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from functools import partial, wraps
from inspect import ismethod
from threading import get_ident
from typing import Any, Final
from weakref import WeakMethod

import torch
from torch import nn
from torch.compiler import is_dynamo_compiling
from torch.utils.hooks import RemovableHandle

Watching = Callable[..., Any]
"""Called in the place of a function, with that function before its arguments; has to call it."""


class LoopHooks:
    """The hooks of one watch. They sleep in other threads, while torch compiles what they hang on,
    and in copies and pickles of it.

    Args:
        fail: is told of what a hook has raised.
    """

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        self.fail = fail
        self.over = False
        """Whether they sleep for good."""
        self.thread = get_ident()
        """The loop's."""
        self._undo = ExitStack()
        self._added: list[Added] = []

    @property
    def here(self) -> bool:
        """Whether this is the thread of the loop."""
        return get_ident() == self.thread

    def add(self, register: Callable[..., Any], call: Callable[..., None]) -> Added:
        """Have `call` called by what `register` takes hooks for."""
        hook = _Hook(self, call)
        # Of a method only while its owner lives: a script may drop a model.
        kept = WeakMethod(register) if ismethod(register) else lambda: register
        added = (kept, hook, register(hook))
        self._added.append(added)
        return added

    def remove(self, added: Added) -> None:
        """Take one of them away."""
        added[-1].remove()
        if added in self._added:
            self._added.remove(added)

    def add_bare(
        self, register: Callable[..., RemovableHandle], call: Callable[..., None]
    ) -> RemovableHandle:
        """The same for a `call` that can't fail and may be called in any thread. The hook may also
        be taken away earlier.
        """
        hook = register(call)
        self._undo.callback(hook.remove)
        return hook

    def around(
        self, home: Any, name: str, watching: Watching, *, anywhere: bool = False
    ) -> Callable[[], None]:
        """Have `watching(bare, ...)` called in the place of a function of a class or a module, in
        the loop's thread or `anywhere`; gives what undoes that earlier.
        """
        undo = _replaced(home, name, (self, watching, anywhere))
        self._undo.callback(undo)
        return undo

    def without(self, bare: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """What a function gives while no hook is there: TorchScript would compile them."""
        added, self._added = self._added, []  # it may come back here, for a function inside
        for *_, handle in added:
            handle.remove()
        try:
            return bare(*args, **options)
        finally:
            for kept, hook, _ in added:
                if (register := kept()) is not None:
                    self._added.append((kept, hook, register(hook)))

    def close(self) -> None:
        """Take all of them away."""
        self.over = True
        for *_, handle in self._added:
            handle.remove()
        self._undo.close()


class _Hook:
    """One hook of a module or an optimizer."""

    def __init__(self, hooks: LoopHooks, call: Callable[..., None]) -> None:
        self._hooks, self._call = hooks, call

    def __call__(self, *args: Any) -> None:
        hooks = self._hooks
        # Compiling comes first: what follows is nothing to compile.
        if is_dynamo_compiling() or hooks.over or get_ident() != hooks.thread:
            return
        try:
            self._call(*args)
        except Exception as error:
            hooks.fail(error)

    def __reduce__(self) -> tuple[Any, ...]:
        # Does nothing, whatever it is called with, and is loaded where there is no fivestep.
        return getattr, (nullcontext(), "__exit__")


Added = tuple[Any, _Hook, Any]
"""What gives what registers a hook, the hook, and the handle that takes it away."""
_Watcher = tuple[LoopHooks, Watching, bool]
_WATCHERS: Final[dict[tuple[Any, str], list[_Watcher]]] = {}
"""Who watches a function that was replaced, by its home and name."""


def _replaced(home: Any, name: str, watcher: _Watcher) -> Callable[[], None]:
    """Have a watcher called in the place of a function; gives what undoes it.

    Of several watches of one function, whichever ends last puts the bare one back.
    """
    watchers = _WATCHERS.get((home, name))
    if watchers is None:
        bare, watchers = getattr(home, name), []
        setattr(home, name, _replacement(bare, watchers))
        _WATCHERS[home, name] = watchers
    watchers.append(watcher)

    def undo() -> None:
        before = len(watchers)
        watchers[:] = [one for one in watchers if one is not watcher]
        if before and not watchers:
            del _WATCHERS[home, name]
            now = getattr(home, name)
            if getattr(now, "watchers", None) is watchers:  # or somebody has replaced it since
                setattr(home, name, now.__wrapped__)

    return undo


def _replacement(bare: Callable[..., Any], watchers: list[_Watcher]) -> Callable[..., Any]:
    """A function that goes through those who watch another one; without any it is that one."""

    @wraps(bare)
    def through(*args: Any, **options: Any) -> Any:
        call = bare
        if not is_dynamo_compiling():
            here = get_ident()
            for hooks, watching, anywhere in watchers:
                if (hooks.thread == here or anywhere) and not hooks.over:
                    call = partial(watching, call)
        return call(*args, **options)

    @wraps(bare)
    def scripts(made: Any, *args: Any, **options: Any) -> Any:
        if isinstance(made, nn.Module):
            return through(made, *args, **options)
        # Names in a class are looked up in its caller's frame, which is one more away.
        return bare(made, *args, _frames_up=options.pop("_frames_up", 0) + 1, **options)

    replacement = scripts if bare is torch.jit.script else through
    replacement.watchers = watchers  # type: ignore[attr-defined]
    return replacement


def home_of(owner: Any, name: str) -> type:
    """The class that an object has its method from."""
    return next(kind for kind in type(owner).__mro__ if name in vars(kind))
