"""The program's own dark and light colours."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from textual.theme import Theme


def _variables(
    border: str, muted: str, cursor: tuple[str, str], selection: tuple[str, str]
) -> dict[str, str]:
    """What Textual would mix of other colours.

    Args:
        cursor: text and ground of what is chosen in a list, or typed in.
        selection: text and ground of what is selected there.
    """
    return {
        **dict.fromkeys(("border", "border-blurred"), border),
        **dict.fromkeys(("text-muted", "text-disabled"), muted),
        **dict(zip(("block-cursor-foreground", "block-cursor-background"), cursor, strict=True)),
        **dict(
            zip(
                ("input-selection-foreground", "input-selection-background"), selection, strict=True
            )
        ),
    }


DARK: Final = Theme(
    name="fivestep-dark",
    dark=True,
    primary="#6cb6ff",
    secondary="#8b9db3",
    accent="#ffb454",
    foreground="#d3dae3",
    background="#0f1419",
    surface="#141a21",
    panel="#1c242d",
    success="#7fd1a8",
    warning="#e5c07b",
    error="#ff7b85",
    variables=_variables("#2f3b48", "#9fa1a3", ("#d3dae3", "#6cb6ff 25%"), ("#0f1419", "#6cb6ff")),
)
"""Quiet blue-greys; the amber accent means "now" and nothing else."""

LIGHT: Final = Theme(
    name="fivestep-light",
    dark=False,
    primary="#0b62b8",
    secondary="#5b6b7c",
    accent="#a34a00",
    foreground="#1f2933",
    background="#fbfaf7",
    surface="#f4f2ec",
    panel="#e8e5dc",
    success="#11713f",
    warning="#7a5600",
    error="#b3202c",
    variables=_variables("#c9c4b8", "#5e6063", ("#1f2933", "#0b62b8 25%"), ("#fbfaf7", "#0b62b8")),
)

THEMES: Final = (DARK, LIGHT)

BLACK, WHITE, GREY, DARK_GREY = "#000000", "#ffffff", "#aaaaaa", "#555555"
FEW: Final = (
    replace(
        DARK,
        primary="#55ffff",
        secondary=GREY,
        accent="#ffff55",
        foreground=WHITE,
        background=BLACK,
        surface=BLACK,
        panel=BLACK,
        success="#55ff55",
        warning="#ff55ff",
        error="#ff5555",
        variables=_variables(GREY, GREY, (BLACK, WHITE), (BLACK, "#55ffff")),
    ),
    replace(
        LIGHT,
        primary="#0000aa",
        secondary="#0000aa",
        accent="#aa00aa",
        foreground=BLACK,
        background=WHITE,
        surface=WHITE,
        panel=WHITE,
        success="#0000aa",
        warning="#aa0000",
        error="#aa0000",
        variables=_variables(DARK_GREY, BLACK, (WHITE, BLACK), (WHITE, "#0000aa")),
    ),
)
"""The same for 16 colours, which each terminal mixes in its own way: only those that can be read
on black, or on white, in all of them. Yellow, green and cyan can't be read on white.
"""


def themes(color_system: str | None) -> tuple[Theme, Theme]:
    """The dark and the light theme for what a terminal can show, as `rich.Console` names it."""
    return FEW if color_system in ("standard", "windows") else THEMES
