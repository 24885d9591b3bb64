"""What is sent for a change leaves the terminal's screen as Textual would, in fewer bytes."""

from __future__ import annotations

import io
import random
from itertools import pairwise

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate
from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widgets import Static

from fivestep.tui.render.spans import GAP, changes, line, sized
from fivestep.tui.watch.frames import LeanCompositor, lean

WIDTH, HEIGHT = 24, 4
STYLES = [
    None,
    Style(),
    Style(color="red"),
    Style(color=Color.from_rgb(1, 2, 3), bgcolor=Color.from_rgb(4, 5, 6)),
    Style(color=Color.from_rgb(1, 2, 3), bgcolor=Color.from_rgb(7, 8, 9)),
    Style(bold=True, bgcolor="blue"),
    Style(bold=True, italic=True, color="green", bgcolor="blue"),
    Style(underline=True, strike=True),
    Style(reverse=True, color="red", bgcolor="blue"),
]


def drawn(update: str, screen: pyte.Screen | None = None) -> pyte.Screen:
    screen = screen or pyte.Screen(WIDTH, HEIGHT)
    pyte.Stream(screen).feed(update)
    return screen


def strip(generator: random.Random) -> Strip:
    segments, room = [], WIDTH
    while room:
        size = generator.randint(1, room)
        text = "".join(generator.choice("abc ─█⣿") for _ in range(size))
        style = generator.choice(STYLES)
        # A style remembers its codes for the first colour system that asked for them.
        segments.append(Segment(text, style and style.copy()))
        room -= size
    return Strip(segments, WIDTH)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), system=st.sampled_from(["standard", "256", "truecolor"]))
def test_a_terminal_shows_what_textual_would_have_sent(seed: int, system: str) -> None:
    generator = random.Random(seed)
    console = Console(file=io.StringIO(), force_terminal=True, color_system=system)
    old, new = [strip(generator) for _ in range(HEIGHT)], [strip(generator) for _ in range(HEIGHT)]
    spans, rows = [], []
    for y in range(HEIGHT):
        start = generator.randint(0, WIDTH - 1)
        end = generator.randint(start + 1, WIDTH)
        spans.append((y, start, end))
        rows.append(
            Strip.join([old[y].crop(0, start), new[y].crop(start, end), old[y].crop(end, WIDTH)])
        )
    cut = generator.randint(1, WIDTH - 1)  # as two widgets that are side by side
    chops = [{0: row.crop(0, cut), cut: row.crop(cut, WIDTH)} for row in rows]
    update = ChopsUpdate(chops, spans, [[cut, WIDTH]] * HEIGHT)
    before = "".join(f"\x1b[{y + 1};1H{row.render(console)}" for y, row in enumerate(old))
    theirs = drawn(before + update.render_segments(console))
    few = lean(update)
    assert isinstance(few, ChopsUpdate)
    sent = few.render_segments(console)
    ours = drawn(before + sent)
    assert ours.display == theirs.display
    for y in range(HEIGHT):
        for x in range(WIDTH):
            assert ours.buffer[y][x] == theirs.buffer[y][x]
    ours.draw("x")  # the style is left as it was found
    assert ours.buffer[ours.cursor.y][ours.cursor.x - 1].fg == "default"
    assert len(sent) <= len(update.render_segments(console))


def test_a_link_is_sent_whole() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    row = Strip([Segment("a", Style(color="red")), Segment("b", Style(link="https://x.y"))])
    few = lean(ChopsUpdate([{0: row}], [(0, 0, 2)], [[2]]))
    assert isinstance(few, ChopsUpdate)
    assert "https://x.y" in few.render_segments(console)


RUNS = st.lists(
    st.tuples(st.text("ab ─雪é", max_size=6), st.sampled_from(["", "dim", "now"])), max_size=6
)


@settings(max_examples=200, deadline=None)
@given(old=RUNS, new=RUNS, cells=st.integers(1, 30))
def test_outside_the_changes_two_lines_are_the_same(old, new, cells) -> None:
    before, after = sized(line(*old), cells), sized(line(*new), cells)
    spans = changes(before, after)
    assert all(0 <= a < b <= cells for a, b in spans)
    assert all(b + GAP < c for (_, b), (c, _) in pairwise(spans))
    assert (before == after) <= (not spans)
    kept = Strip([Segment(t, Style(meta={"n": n})) for t, n in before], cells)
    wanted = Strip([Segment(t, Style(meta={"n": n})) for t, n in after], cells)
    parts, place = [], 0
    for start, end in spans:
        parts += [kept.crop(place, start), wanted.crop(start, end)]
        place = end
    whole = Strip.join([*parts, kept.crop(place, cells)])
    assert whole.simplify() == wanted.simplify()


@pytest.mark.parametrize(
    ("old", "new", "spans"),
    [
        ("batch 7 of 9", "batch 8 of 9", [(6, 7)]),
        ("1 and some more 1", "2 and some more 2", [(0, 1), (16, 17)]),
        ("雪ab", "ab雪", [(0, 4)]),
        ("same", "same", []),
    ],
)
def test_only_what_differs_is_a_change(old: str, new: str, spans: list[tuple[int, int]]) -> None:
    assert changes(sized(line(old), 17), sized(line(new), 17)) == spans


class Layered(Screen[None]):
    """Widgets side by side, scrolled out of sight in part, and one over the others."""

    CSS = """
    Layered { layers: below above; layout: horizontal; }
    Static { width: 1fr; border: round red; }
    VerticalScroll { width: 1fr; }
    #tall { height: 30; }
    #over { layer: above; width: 11; height: 5; offset: 9 4; border: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._compositor = LeanCompositor()

    def compose(self) -> ComposeResult:
        """Three columns and what lies over them."""
        yield Static("one 雪 " * 60)
        with VerticalScroll():
            yield Static("two " * 200, id="tall")
        yield Static("three " * 60)
        yield Static("over " * 11, id="over")


async def test_what_is_put_together_for_a_change_is_what_the_whole_screen_would_show() -> None:
    generator = random.Random(0)
    app: App[None] = App()
    async with app.run_test(size=(50, 16)) as pilot:
        await app.push_screen(Layered())
        app.screen.query_one(VerticalScroll).scroll_to(y=7, animate=False)
        await pilot.pause()
        compositor = app.screen._compositor
        whole = compositor.render_strips()
        for _ in range(200):
            for _ in range(generator.randint(1, 4)):
                x, y = generator.randrange(50), generator.randrange(16)
                size = generator.randint(1, 50 - x), generator.randint(1, 16 - y)
                compositor._dirty_regions.add(Region(x, y, *size))
            update = compositor.render_partial_update()
            assert isinstance(update, ChopsUpdate)
            for y, first, last in update.spans:
                parts, pieces = [], zip(update.chop_ends[y], update.chops[y].items(), strict=False)
                for end, (x, strip) in pieces:
                    if x < last and end > first:
                        parts.append(strip.crop(max(x, first) - x, min(end, last) - x))
                assert Strip.join(parts).simplify() == whole[y].crop(first, last).simplify()
        assert compositor.render_partial_update() is None
