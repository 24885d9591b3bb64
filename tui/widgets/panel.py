"""The base of every panel: lines of styled runs, of which only the changed ones are redrawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.content import Content
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from ...core.protocol.snapshot import RunInfo, Snapshot
from ..render.glyphs import plain
from ..render.spans import EMPTY, Line, sized
from .ink import TEXT_STYLES, Ink


class Panel(Widget):
    """Draws what `lines` gives, without ever reading markup.

    It has a border where its class has a `BORDER_TITLE`.

    Args:
        ascii: draw in ASCII only.
    """

    ALLOW_SELECT = False
    WEIGHT: ClassVar[Literal["main", "", "quiet"]] = ""
    """How much its frame asks to be looked at, beside the others."""
    TEXT_STYLES: ClassVar[Mapping[str, Ink]] = TEXT_STYLES
    """What a run may be drawn in. Textual's own component classes are styled again for each panel
    at each size of the window.
    """
    DEFAULT_CSS = """
    Panel {
        height: 1fr; color: $foreground; background: $background;
        &.-boxed {
            border: round $border; padding: 0 1;
            border-title-color: $text-muted; border-title-style: bold;
            border-subtitle-color: $text-muted;
        }
        &.-main { border: round $secondary 60%; border-title-color: $foreground; }
        &.-quiet {
            border: none; border-top: solid $border; border-title-style: none; padding: 0 2;
        }
    }
    Panel.-ascii.-boxed { border: ascii $border; padding: 0 1; }
    """

    def __init__(self, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id)
        self.ascii = ascii
        self.failure: Exception | None = None
        """What `lines` raised, if it did."""
        self._title = ""
        self._lines: list[Line] = []
        """As drawn last, a row each."""
        self._drawn_size = Size()
        self._strips: dict[int, Strip] = {}
        self._styles: dict[str, Style] = {}
        """By name. Textual forgets them at every refresh."""
        self.set_class(ascii, "-ascii", update=False)  # it is styled when it is mounted
        if self.BORDER_TITLE:
            weight = {f"-{self.WEIGHT}"} if self.WEIGHT else set()
            self.add_class("-boxed", *weight, update=False)
            self.set_title(self.BORDER_TITLE)

    def lines(self, width: int, height: int) -> list[Line]:
        """What to show in `width` x `height` cells."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Compute the lines again and refresh those that differ."""
        size = self.content_size
        if not size or not self.is_mounted or not self.is_on_screen:
            if self._drawn_size:  # what was drawn is old once it is seen again, in this size too
                self._drawn_size = Size()
                self.refresh()
            return
        if self._drawn_size != size:
            self.refresh()  # which draws it
            return
        old, new = self._lines, self._draw(size)
        changed = [y for y in range(size.height) if old[y] != new[y]]
        for y in changed:
            self._strips.pop(y, None)
        if changed:
            # Without a region, Textual would draw the whole panel again.
            self.refresh(*(Region(0, y, size.width, 1) for y in changed))

    def _draw(self, size: Size) -> list[Line]:
        """Compute the lines for this size."""
        try:
            lines = self.lines(*size)[: size.height]
        except Exception as error:  # one broken panel must not take the screen, or the run, down
            self.failure = error
            lines = [((f"this panel failed: {type(error).__name__}", "bad"),)]
        self._lines = lines + [EMPTY] * (size.height - len(lines))
        self._drawn_size = size
        return self._lines

    def render_line(self, y: int) -> Strip:
        """A row of the content, made once and kept until it changes."""
        size = self.content_size
        if self._drawn_size != size:  # so that no frame shows lines that were made for another
            self._strips.clear()
            self._draw(size)
        strip = self._strips.get(y)
        if strip is None:
            width = size.width
            row = self._lines[y] if y < len(self._lines) else EMPTY
            segments = [
                Segment(plain(text) if self.ascii else text, self._style(name))
                for text, name in sized(row, width)
            ]
            strip = self._strips[y] = Strip(segments, width)
        return strip

    def _style(self, name: str) -> Style:
        style = self._styles.get(name)
        if style is None:
            style = self._styles[name] = self.ink(name)
        return style

    def ink(self, name: str) -> Style:
        """What runs of this name are drawn in; unknown names are drawn as the others are."""
        _, _, ground, color = self.colors
        return self.TEXT_STYLES.get(name, Ink()).style(color, ground, self.app.theme_variables)

    def set_title(self, title: str) -> None:
        """Change what the border says, if it says something else."""
        if self._title != title:
            self._title = title
            # A plain string would be read as markup.
            self.border_title = Content(plain(title) if self.ascii else title)

    def notify_style_update(self) -> None:
        """Forget the strips: colours have changed."""
        super().notify_style_update()
        self._strips.clear()
        self._styles.clear()

    def on_resize(self, event: events.Resize) -> None:
        if self._drawn_size != self.content_size:
            self.refresh()


class RunPanel(Panel):
    """Shows the newest Snapshot of a run."""

    snapshot: Snapshot | None = None

    def __init__(self, info: RunInfo, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id, ascii=ascii)
        self.info = info


class TextPanel(Panel):
    """Shows what `make` gives for its width."""

    DEFAULT_CSS = "TextPanel { height: auto; background: $surface; }"

    def __init__(
        self, make: Callable[[int], list[Line]], *, id: str | None = None, ascii: bool = False
    ) -> None:
        super().__init__(id=id, ascii=ascii)
        self._make = make

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        return len(self._make(width))

    def lines(self, width: int, height: int) -> list[Line]:
        return self._make(width)
