"""What the named styles of a run of text look like, in the colours of a theme."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rich.style import Style
from textual.color import Color


@dataclass(frozen=True, slots=True)
class Ink:
    """A colour on a ground."""

    color: str = ""
    """The name of one of the theme's colours; "" is the panel's own."""
    alpha: float = 1.0
    """How much of the color covers the ground, from 0 to 1."""
    ground: str = ""
    """The name of one of the theme's colours; "" is the panel's own."""
    ground_alpha: float = 1.0
    """How much of it covers the panel's own, from 0 to 1."""
    text: str = ""
    """The style of the text, as `rich.style.Style.parse` reads it."""

    def style(self, color: Color, ground: Color, theme: Mapping[str, str]) -> Style:
        """On a panel of this color and ground, in this theme."""
        if self.ground:
            ground = ground.blend(Color.parse(theme[self.ground]), self.ground_alpha)
        if self.color:
            color = Color.parse(theme[self.color])
        color = ground.blend(color, self.alpha)
        return Style(color=color.rich_color, bgcolor=ground.rich_color) + Style.parse(self.text)


CLASSES: Final = ("primary", "warning", "success", "error", "foreground", "secondary")
"""The colours of a classifier's classes, and of runs beside each other: one for each of
`render.glyphs.GLYPHS`."""
TEXT_STYLES: Final[Mapping[str, Ink]] = {
    "": Ink(),
    "dim": Ink("text-muted"),
    "bold": Ink(text="bold"),
    "key": Ink(text="bold"),
    "mark": Ink(text="bold underline"),
    "gone": Ink("text-muted", text="strike"),
    "brand": Ink(text="bold reverse"),
    "now": Ink("accent", text="bold"),
    "hand": Ink("secondary", text="bold"),
    "bar": Ink("primary"),
    "track": Ink("foreground", 0.2),
    "train": Ink("primary"),
    "train-range": Ink("primary", 0.45),
    "val": Ink("foreground", text="bold"),
    "val-range": Ink("foreground", 0.5),
    "good": Ink("success", text="bold"),
    "bad": Ink("error", text="bold"),
    "warn": Ink("warning"),
    **{f"class-{n}": Ink(color) for n, color in enumerate(CLASSES)},
    **{f"class-{n}-range": Ink(color, 0.45) for n, color in enumerate(CLASSES)},
    **{f"field-{n}": Ink(color, 0.55) for n, color in enumerate(CLASSES)},
}
"""By the name that `tui/render` gives them."""
MARKED_ROW: Final = Ink("accent", 1.0, "accent", 0.12, "bold")
"""The row of the step that runs."""
