"""What a change of the screen costs: only the lines that changed are put together, and only the
cells that changed are sent, in few codes.

Textual renders every widget in the smallest rectangle around all changes, sends a changed line
from the edge of its widget on, and the whole style before each piece of text. The first takes the
processor from the run; over a slow line, the others are several times what is needed.

Most changes do without Textual: a panel that nothing lies on knows its cells, and where they are.
To be told of them, to find the panel and to put its borders together again takes Textual several
messages and more time than to send them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Self

from rich.color import ColorSystem
from rich.console import Console, RenderableType
from rich.style import Style
from textual._compositor import ChopsUpdate, Compositor, CompositorUpdate
from textual.filter import LineFilter
from textual.geometry import Offset, Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

if TYPE_CHECKING:
    from ..widgets.panel import Panel

Codes = tuple[str, str, str]
"""SGR codes of a style: its attributes, its colour, the colour of its ground; "" is the default."""

NONE: Final[Codes] = ("", "", "")

Part = tuple[int, int, Strip]
"""Column, row, and what is there from then on."""


class Cells(ChopsUpdate):
    """The changed cells of a screen, and no others."""

    def render_segments(self, console: Console) -> str:
        return _codes_of(self._parts(), console)

    def _parts(self) -> Iterator[Part]:
        for y, first, last in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is not None and x < last and end > first:
                    start = max(x, first)
                    yield start, y, strip.crop(start - x, min(end, last) - x)


class Parts(CompositorUpdate):
    """Strips to be sent as they are."""

    def __init__(self, parts: list[Part]) -> None:
        self._parts = parts

    def render_segments(self, console: Console) -> str:
        return _codes_of(self._parts, console)


class Shortcut:
    """Draws changes of a screen's panels, while it is entered, without Textual; all at once.

    Args:
        screen: stays Textual's, which may draw any of it again at any time.
    """

    def __init__(self, screen: Screen[None]) -> None:
        self._screen = screen
        self._parts: list[Part] = []
        self._usable = False
        self._seen: object = None
        self._places: dict[Widget, tuple[Offset, int]] = {}
        self._filters: Sequence[LineFilter] = ()

    def __enter__(self) -> Self:
        screen = self._screen
        app = screen.app
        # A screen under a question is current, too. One that is to be drawn as a whole is not there
        # yet.
        self._usable = (
            screen.is_current
            and app.screen is screen
            and not app._batch_count
            and not screen._layout_required
            and not screen._repaint_required
            and screen not in screen._dirty_widgets
        )
        self._filters = app.get_line_filters()
        widgets = screen._compositor.visible_widgets
        if self._usable and self._seen is not widgets:  # it is made anew with each layout
            self._seen, self._places = widgets, dict(_open(widgets))
        return self

    def __exit__(self, *_: object) -> None:
        self._usable = False
        if self._parts:
            parts, self._parts = self._parts, []
            update: Any = Parts(parts)  # as Textual's own updates, it is no renderable to a checker
            self._screen.app._display(self._screen, update)

    def draw(self, panel: Panel, spans: Iterable[tuple[int, int, int]]) -> bool:
        """Take what has changed in a panel's content; False if Textual is to be asked.

        Args:
            panel: one of the screen's.
            spans: row of the content, the first column that has changed, and the column behind.
        """
        place = self._places.get(panel) if self._usable else None
        if place is None:
            return False
        (left, top), inset = place
        for y, start, end in spans:
            panel._styles_cache.set_dirty(Region(0, y + inset, 1, 1))
            strip = panel.render_line(y).crop(start, end)
            for one in self._filters:
                strip = strip.apply_filter(one, panel.ground)
            self._parts.append((left + start, top + y, strip))
        return True


def _open(
    widgets: dict[Widget, tuple[Region, Region]],
) -> Iterator[tuple[Widget, tuple[Offset, int]]]:
    """The widgets that can be seen as a whole; where their content begins, and how many lines of
    the widget are above it.
    """
    above: list[Region] = []
    for widget, (region, clip) in widgets.items():  # from front to back
        if clip.contains_region(region) and not any(region.overlaps(one) for one in above):
            inset = widget.content_offset
            yield widget, (region.offset + inset, inset.y)
        above.append(region.intersection(clip))


class LeanCompositor(Compositor):
    """Asks widgets for no more lines than it needs."""

    def render_partial_update(self) -> ChopsUpdate | None:
        cuts, rows = self.cuts, range(len(self.cuts))
        spans = [span for span in self._regions_to_spans(self._dirty_regions) if span[0] in rows]
        self._dirty_regions.clear()
        if not spans:
            return None
        wanted: dict[int, list[tuple[int, int]]] = {}
        for y, first, last in spans:
            wanted.setdefault(y, []).append((first, last))
        chops: list[dict[int, Strip | None]] = [
            dict.fromkeys(cuts[y][:-1] if y in wanted else ()) for y in rows
        ]
        # From front to back: what is filled already hides what is behind.
        for widget, (region, clip) in self.visible_widgets.items():
            seen = region.intersection(clip)
            lines = [
                y
                for y, parts in wanted.items()
                if seen.y <= y < seen.bottom
                and any(
                    chops[y][start] is None
                    and seen.x <= start < seen.right
                    and any(first < end and start < last for first, last in parts)
                    for start, end in pairwise(cuts[y])
                )
            ]
            if not lines:
                continue
            top, bottom = min(lines), max(lines) + 1
            crop = Region(seen.x - region.x, top - region.y, seen.width, bottom - top)
            strips = widget.render_lines(crop)
            for y in lines:
                here = [cut for cut in cuts[y] if seen.x <= cut <= seen.right]
                parts = strips[y - top].divide([cut - seen.x for cut in here[1:]])
                for cut, part in zip(here, parts, strict=False):
                    if chops[y][cut] is None:
                        chops[y][cut] = part
        return Cells(chops, spans, [cut_set[1:] for cut_set in cuts])


def lean(update: RenderableType | None) -> RenderableType | None:
    """The same update in few bytes, if it is one of single cells."""
    if type(update) is ChopsUpdate:
        return Cells(update.chops, update.spans, update.chop_ends)
    return update


def _codes_of(parts: Iterable[Part], console: Console) -> str:
    """What draws the parts, and leaves the terminal's style as it was found."""
    system = console._color_system or ColorSystem.TRUECOLOR
    sent: list[str] = []
    now = NONE
    for x, y, strip in parts:
        sent.append(f"\x1b[{y + 1};{x + 1}H")
        for text, style, _ in strip:
            if style is not None and style.link:
                sent.append(_turn(now, NONE) + Strip.render_style(style, text, system))
                now = NONE
                continue
            codes = NONE if style is None else _codes(style, system)
            sent.append(_turn(now, codes) + text)
            now = codes
    return "".join(sent) + _turn(now, NONE)


@lru_cache(4096)
def _codes(style: Style, system: ColorSystem) -> Codes:
    colour, ground = style.color, style.bgcolor
    return (
        Strip.render_ansi(style.without_color, system),
        "" if colour is None else ";".join(colour.downgrade(system).get_ansi_codes()),
        "" if ground is None else ";".join(ground.downgrade(system).get_ansi_codes(False)),
    )


@lru_cache(4096)
def _turn(now: Codes, then: Codes) -> str:
    """What turns one style into the other."""
    if now == then:
        return ""
    if then == NONE:
        return "\x1b[0m"
    if now[0] and now[0] != then[0]:
        return f"\x1b[0;{';'.join(filter(None, then))}m"
    turns = [then[0]] if then[0] != now[0] else []
    if then[1] != now[1]:
        turns.append(then[1] or "39")
    if then[2] != now[2]:
        turns.append(then[2] or "49")
    return f"\x1b[{';'.join(turns)}m"
