"""A thread that loads torch, then previews the data and the model that the screen asks for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...presets.recipe import Recipe
from ..terminal.imports import load_torch, under_way

if TYPE_CHECKING:
    from ..render.data_pictures import Preview


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """A recipe whose data and model are to be shown."""

    recipe: Recipe
    model: bool = True
    """Its model fits its data."""


class Previewer:
    """Answers requests in order of arrival, and drops those that a newer one has overtaken.

    Args:
        answer: called in the previewer's own thread with a request and its `Preview`.
    """

    def __init__(self, answer: Callable[[PreviewRequest, Preview], object]) -> None:
        self._answer = answer
        self._wanted: PreviewRequest | None = None
        self._closed = False
        self._changed = threading.Condition()
        # A daemon: to quit must not wait until torch is loaded.
        self._thread = threading.Thread(target=self._run, name="fivestep-preview", daemon=True)

    def start(self) -> None:
        """Begin to load torch: the first picture is there."""
        under_way()
        self._thread.start()

    def ask(self, request: PreviewRequest) -> None:
        """Preview this; whatever else was waiting is forgotten."""
        with self._changed:
            self._wanted = request
            self._changed.notify()

    def close(self) -> None:
        """Answer nothing more; the thread ends when it can."""
        under_way()
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        inspect = _inspector()
        while (request := self._next()) is not None:
            preview = inspect(request)
            with self._changed:
                current = self._wanted is None and not self._closed
            if current:
                self._answer(request, preview)

    def _next(self) -> PreviewRequest | None:
        with self._changed:
            while self._wanted is None and not self._closed:
                self._changed.wait()
            request, self._wanted = self._wanted, None
            return None if self._closed else request


def _inspector() -> Callable[[PreviewRequest], Preview]:
    try:
        load_torch()
        from .inspect_data import DataInspector
    except Exception as error:  # a broken torch: what can be chosen can still be seen
        from ..render.data_pictures import Preview

        problem = f"torch can't be loaded: {error}".split("\n", 1)[0]
        return lambda request: Preview(picture=problem, layers=problem)
    inspector = DataInspector()
    return lambda request: inspector.preview(request.recipe, model=request.model)
