"""The program's own dark and light colours."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

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
    variables={"border": "#2f3b48", "border-blurred": "#2f3b48"},
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
    warning="#8a6100",
    error="#b3202c",
    variables={"border": "#c9c4b8", "border-blurred": "#c9c4b8"},
)

THEMES: Final = (DARK, LIGHT)
