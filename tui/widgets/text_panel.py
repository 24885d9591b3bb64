"""Fixed lines, as high as they are many: for help and tracebacks inside something that scrolls."""

from __future__ import annotations

from collections.abc import Callable

from ..render.spans import Line
from .panel import Panel


class TextPanel(Panel):
    """Shows what `make` gives for its width."""

    DEFAULT_CSS = "TextPanel { height: auto; background: $surface; }"

    def __init__(
        self, make: Callable[[int], list[Line]], *, id: str | None = None, ascii: bool = False
    ) -> None:
        super().__init__(id=id, ascii=ascii)
        self._make = make

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        """One row a line."""
        return len(self._make(width))

    def lines(self, width: int, height: int) -> list[Line]:
        return self._make(width)
