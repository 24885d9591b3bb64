"""Whether text can be read: in the dark and the light theme, in 16 colours, and in greys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from rich.color import Color as TerminalColor
from rich.color import ColorSystem
from rich.segment import Segment
from textual.app import App
from textual.color import Color
from textual.screen import Screen
from textual.theme import Theme

from fivestep.core.protocol.diagnosis import VerdictInputs
from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.snapshot import Snapshot
from fivestep.core.protocol.steps import State, Step
from fivestep.tui.app.app import FivestepApp
from fivestep.tui.watch.watch import WatchScreen
from fivestep.tui.widgets.messages import MessageLog
from fivestep.tui.widgets.theme import DARK, FEW, LIGHT, THEMES

from ..conftest import NOON, READING, FakeSource, picture

READABLE = 4.5
"""What the Web Content Accessibility Guidelines ask for, level AA."""
VGA = "000 a00 0a0 a50 00a a0a 0aa aaa 555 f55 5f5 ff5 55f f5f 5ff fff"  # the Linux console, PuTTY
XTERM = "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5 7f7f7f ff0000 00ff00 ffff00"
XTERM += " 5c5cff ff00ff 00ffff ffffff"

Shade = Callable[[TerminalColor], Color]


def true(color: TerminalColor) -> Color:
    return Color.from_rich_color(color)


def grey(color: TerminalColor) -> Color:
    """As NO_COLOR leaves it."""
    level = round(255 * Color.from_rich_color(color).brightness)
    return Color(level, level, level)


def of_palette(names: str) -> Shade:
    """As a terminal with these 16 colours shows it."""
    palette = [Color.parse(f"#{name}") for name in names.split()]

    def shade(color: TerminalColor) -> Color:
        number = color.downgrade(ColorSystem.STANDARD).number
        assert number is not None
        return palette[number]

    return shade


def luminance(color: Color) -> float:
    parts = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color.normalized)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def contrast(one: Color, other: Color) -> float:
    """From 1, the same, to 21, black and white."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def segments(app: App[None]) -> Iterator[Segment]:
    """What is drawn of the uppermost screen, but not what shines through it."""
    strips = app.screen._compositor.render_strips()
    for widget in app.screen.children:
        x, y, width, height = widget.region
        for strip in strips[y : y + height] if widget.display else ():
            yield from strip.crop(x, x + width)


def unreadable(app: App[None], shade: Shade) -> dict[str, float]:
    """The texts on the screen that don't stand out from their ground, with their contrast."""
    found = {}
    for text, style, _ in segments(app):
        if style is None or style.color is None or style.bgcolor is None:
            continue
        ratio = contrast(shade(style.color), shade(style.bgcolor))
        if any(map(str.isalnum, text)) and ratio < READABLE:
            found[text.strip()] = round(ratio, 2)
    return found


LOOKS: tuple[tuple[tuple[Theme, ...], dict[str, Shade]], ...] = (
    (THEMES, {"true colours": true, "NO_COLOR": grey}),
    (FEW, {"xterm": of_palette(XTERM), "VGA": of_palette(VGA), "NO_COLOR of 16": grey}),
)


def watched(snapshot: Snapshot) -> WatchScreen:
    log = MessageLog(lambda: NOON)
    log.add("a warning", "warning")
    log.add("an error", "error")
    source = FakeSource(snapshot)
    return WatchScreen(source, device=lambda: READING, log=log, ascii=False, live=False)


def broken() -> WatchScreen:
    faults = (Fault.LR_TIMES_100, Fault.NO_ZERO_GRAD)
    facts = VerdictInputs(label_low=1, label_high=10, classes=10)
    held = picture(state=State.PAUSED, step=Step.UPDATE, faults=faults, undo=True, facts=facts)
    return watched(replace(held, loss=float("nan")))


SCREENS: dict[str, tuple[Callable[[], Screen[None] | None], tuple[str, ...]]] = {
    "choosing": (lambda: None, ()),
    "typing": (lambda: None, ("tab",)),
    "help": (lambda: None, ("f1",)),
    "searching": (lambda: watched(picture()), ("slash", "w", "a")),
    "broken": (broken, ("i", "down")),
    "breakpoints": (broken, ("B",)),
}


@pytest.mark.parametrize("screen", SCREENS)
async def test_every_text_can_be_read_in_every_theme(screen: str) -> None:
    make, keys = SCREENS[screen]
    app = FivestepApp()
    async with app.run_test(size=(120, 36)) as pilot:
        shown = make()
        if shown is not None:
            await app.push_screen(shown)
            await pilot.pause()
        await pilot.press(*keys)
        wrong = []
        for themes, shades in LOOKS:
            for theme in themes:
                app.register_theme(theme)
                if app.theme == theme.name:  # setting it again were no change
                    app.theme = LIGHT.name if theme.dark else DARK.name
                app.theme = theme.name
                await pilot.pause()
                for look, shade in shades.items():
                    found = unreadable(app, shade)
                    wrong += [f"{look}, {theme.name}: {found}"] if found else []
        assert not wrong, "\n".join(wrong)


def test_nothing_but_what_was_looked_at_is_offered() -> None:
    assert set(FivestepApp().available_themes) == {theme.name for theme in THEMES}
