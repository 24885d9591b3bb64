"""The base of every panel: lines of styled runs, of which only the changed ones are redrawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.color import Color
from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from ..render.spans import EMPTY, Line, changes, sized
from ..render.theme import plain

if TYPE_CHECKING:
    from ..watch.frames import Shortcut

STYLES = frozenset(
    "dim bold now bar train val good bad warn key hand brand train-range val-range mark".split()
)
"""Names that a run may use; what they look like is in `Panel.DEFAULT_CSS`."""


def styles(*names: str) -> set[str]:
    """Component classes of a panel that uses these and no others: each is styled for each panel,
    which a first picture has to wait for. What is wrong can always be said.
    """
    return {f"line--{name}" for name in (*names, "bad")}


class Panel(Widget):
    """Draws what `lines` gives, cell by cell, without ever reading markup."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = styles(*STYLES)
    DEFAULT_CSS = """
    Panel {
        height: 1fr; color: $foreground; background: $background;
        &.-boxed {
            border: round $border; padding: 0 1;
            border-title-color: $text-muted; border-title-style: bold;
            border-subtitle-color: $text-muted;
        }
    }
    Panel > .line--dim { color: $text-muted; }
    Panel > .line--bold { text-style: bold; }
    Panel > .line--brand { text-style: bold reverse; }
    Panel > .line--now { color: $accent; text-style: bold; }
    Panel > .line--hand { color: $secondary; text-style: bold; }
    Panel > .line--bar { color: $primary; }
    Panel > .line--train { color: $primary; }
    Panel > .line--train-range { color: $primary 45%; }
    Panel > .line--val { color: $foreground; text-style: bold; }
    Panel > .line--val-range { color: $foreground 50%; }
    Panel > .line--good { color: $success; text-style: bold; }
    Panel > .line--bad { color: $error; text-style: bold; }
    Panel > .line--warn { color: $warning; }
    Panel > .line--key { text-style: bold; }
    Panel > .line--mark { text-style: bold underline; }
    Panel.-ascii.-boxed { border: ascii $border; }
    """

    def __init_subclass__(cls, *, inherit_component_classes: bool = True, **more: bool) -> None:
        super().__init_subclass__(**more)
        cls._inherit_component_classes = inherit_component_classes  # Widget does not pass it on

    def __init__(self, *, id: str | None = None, title: str = "", ascii: bool = False) -> None:
        super().__init__(id=id)
        self.ascii = ascii
        self.redrawn = 0
        """Lines sent for drawing so far."""
        self._title = ""
        self.shortcut: Shortcut | None = None
        """To the terminal, if the screen has one."""
        self.failure: Exception | None = None
        """What went wrong in here, if anything did."""
        self._lines: list[Line] = []
        self._sized: dict[int, Line] = {}
        """The same in exactly the width of the panel."""
        self._drawn_size = 0, 0
        self._strips: dict[int, Strip] = {}
        self._base: Style | None = None
        self._ground: Color | None = None
        self._styles: dict[str, Style] = {}
        """By name. Textual forgets them at every refresh."""
        self.set_class(ascii, "-ascii", update=False)  # it is styled when it is mounted
        if title:
            self.add_class("-boxed", update=False)
            self.set_title(title)

    def lines(self, width: int, height: int) -> list[Line]:
        """What to show in `width` x `height` cells."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Compute the lines again and refresh those that differ."""
        width, height = self.content_size
        if width < 1 or height < 1 or not self.is_mounted or not self.is_on_screen:
            return  # whatever comes to be seen is drawn in its new size
        try:
            new = self.lines(width, height)[:height]
        except Exception as error:  # one broken panel must not take the screen, or the run, down
            self.failure = error
            new = [((f"this panel failed: {type(error).__name__}", "bad"),)]
        new += [EMPTY] * (height - len(new))
        if self._drawn_size != (width, height):
            self._forget(width, height)
        old = self._lines
        changed = [y for y in range(height) if y >= len(old) or old[y] != new[y]]
        self._lines = new
        if changed:
            spans = [(y, start, end) for y in changed for start, end in self._renew(y)]
            self.redrawn += len(changed)
            # Without a region, Textual would draw the whole panel again.
            if spans and not (self.shortcut and self.shortcut.draw(self, spans)):
                self.refresh(*(Region(start, y, end - start, 1) for y, start, end in spans))

    def _renew(self, y: int) -> list[tuple[int, int]]:
        """Where a line is no longer as it was: all else need not be sent again."""
        self._strips.pop(y, None)
        old, width = self._sized.get(y), self._drawn_size[0]
        new = self._sized[y] = sized(self._lines[y], width)
        return [(0, width)] if old is None else changes(old, new)

    def _forget(self, width: int, height: int) -> None:
        """Forget what was drawn: it has another size now."""
        self._drawn_size = width, height
        self._lines, self._sized, self._strips = [], {}, {}

    def render_line(self, y: int) -> Strip:
        """A row of the content, made once and kept until it changes."""
        strip = self._strips.get(y)
        if strip is None:
            width = self.content_size.width
            row = self._sized.get(y) or sized(EMPTY, width)
            strip = self._strips[y] = self._strip(row, width)
        return strip

    def _strip(self, row: Line, width: int) -> Strip:
        base = self._base = self._base or self.rich_style
        segments = []
        for text, name in row:
            style = self._style(name, base) if name else base
            segments.append(Segment(plain(text) if self.ascii else text, style))
        return Strip(segments, width)

    def _style(self, name: str, base: Style) -> Style:
        style = self._styles.get(name)
        if style is None:
            style = self.get_component_rich_style(f"line--{name}", default=base)
            self._styles[name] = style
        return style

    @property
    def ground(self) -> Color:
        """The colour behind the content."""
        if self._ground is None:
            self._ground = self.background_colors[1]
        return self._ground

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
        self._base = self._ground = None

    def on_resize(self, event: events.Resize) -> None:
        """Draw everything again in the new size."""
        self._forget(*self.content_size)
        self.redraw()
        self.refresh()


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
