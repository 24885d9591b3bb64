"""Help: what the screen shows, and every key, from the table of commands."""

from __future__ import annotations

from ..render.format import fit, wrap
from ..render.keymap import COMMANDS, Command
from ..render.spans import Line, line, sized
from ..widgets.dialog import TextBox

INTRO = (
    "Training is five steps, taken again for every batch. The marker ▶ shows which one runs at "
    "this very moment, the bars beside them where the time of the last seconds went. "
    "Hold the run with space, then walk through a batch with s."
)
KEY = 11


class HelpScreen(TextBox):
    """Every command, grouped."""

    def __init__(self, *, ascii: bool = False) -> None:
        super().__init__("help", help_lines, ascii=ascii)


def help_lines(width: int) -> list[Line]:
    """The page for `width` cells: two columns where they fit."""
    groups: dict[str, list[Command]] = {}
    for command in COMMANDS:
        groups.setdefault(command.group, []).append(command)
    column = (width - 3) // 2 if width >= 96 else width
    parts = {group: _group(group, commands, column) for group, commands in groups.items()}
    rows: list[Line] = [line(text) for text in wrap(INTRO, max(1, width))]
    if column == width:
        for part in parts.values():
            rows += [(), *part]
        return rows
    left = [row for group in ("Steer", "Program") for row in ((), *parts[group])]
    right = [
        row
        for group, part in parts.items()
        if group not in ("Steer", "Program")
        for row in ((), *part)
    ]
    for i in range(max(len(left), len(right))):
        a = left[i] if i < len(left) else ()
        b = right[i] if i < len(right) else ()
        rows.append((*sized(a, column), ("   ", ""), *b))
    return rows


def _group(group: str, commands: list[Command], width: int) -> list[Line]:
    rows: list[Line] = [line((group, "bold"))]
    for command in commands:
        keys = command.shown + (", ctrl+c" if "ctrl+c" in command.keys else "")
        for i, text in enumerate(wrap(command.help, max(1, width - KEY))):
            rows.append(line((fit("" if i else keys, KEY), "key"), text))
    return rows
