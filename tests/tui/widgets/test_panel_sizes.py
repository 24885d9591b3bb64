"""What a panel shows fits its size in every frame, the first one after a resize too."""

from __future__ import annotations

from textual.app import App, ComposeResult
from textual.strip import Strip

from fivestep.tui.render.spans import Line, line
from fivestep.tui.widgets.panel import Panel


class Size(Panel):
    """Says how large it is, and keeps what is drawn of it."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0
        self.drawn: set[tuple[int, str]] = set()
        """How wide a row is, and what it says."""

    def lines(self, width: int, height: int) -> list[Line]:
        self.made += 1
        return [line(f"{width} wide")] * height

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        self.drawn.add((self.content_size.width, strip.text.strip()))
        return strip


class Sizes(App[None]):
    def compose(self) -> ComposeResult:
        yield Size()


async def test_no_frame_shows_lines_made_for_another_size() -> None:
    app = Sizes()
    async with app.run_test(size=(40, 10)) as pilot:
        panel = app.query_one(Size)
        await pilot.pause()
        for width, height in ((60, 12), (30, 7), (90, 20)):
            panel.drawn.clear()
            panel.made = 0
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            assert panel.drawn == {(width, f"{width} wide")}
            assert panel.made == 1
