"""The keys of the choosing screen, its footer and its page of help."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..render.format import wrap
from ..render.keymap import KeyCommand
from ..render.spans import Line, line
from ..widgets.footer import FixedBar

CHOOSING: Final = (
    KeyCommand("start", ("enter",), "enter", "start", "Start the run", "Choose", footer=1),
    KeyCommand("start_paused", ("space",), "space", "start paused",
               "Start it paused before the first batch, as short runs do anyway", "Choose",
               footer=2),
    KeyCommand("choose", (), "↑ ↓", "choose",
               "Another preset; in a field, another value", "Choose", footer=3),
    KeyCommand("next_field", ("tab",), "tab", "settings", "To the next field", "Choose", footer=2),
    KeyCommand("previous_field", ("shift+tab",), "shift+tab", "field before",
               "To the field before", "Choose"),
    KeyCommand("list", ("escape",), "esc", "presets", "Back to the list of presets", "Choose"),
    KeyCommand("reset", ("r",), "r", "reset", "The recipe's own settings again",
               "Choose", footer=5),
    KeyCommand("copy", ("c",), "c", "copy command",
               "Copy the command line that runs the same", "Choose", footer=4),
    KeyCommand("theme", ("d",), "d", "dark/light", "Dark or light colours", "Program", footer=6),
    KeyCommand("quit", ("q", "ctrl+c"), "q", "quit", "Leave fivestep", "Program", footer=2),
    KeyCommand("shell", ("ctrl+z",), "ctrl+z", "shell", "To the shell; fg comes back", "Program"),
    KeyCommand("help", ("question_mark", "f1"), "?", "help", "This page", "Program", footer=1),
)  # fmt: skip

_BY_ID: Final = {command.id: command for command in CHOOSING}
IN_FIELD: Final = (
    _BY_ID["start"],
    replace(_BY_ID["choose"], label="value"),
    replace(_BY_ID["next_field"], label="next field"),
    replace(_BY_ID["list"], footer=1),
    replace(_BY_ID["quit"], shown="ctrl+c"),
    replace(_BY_ID["help"], shown="F1"),
)
"""What the footer offers while letters are typed into a field."""

INTRO: Final = (
    "fivestep trains a PyTorch model and shows the five steps that its training loop takes for "
    "every batch. Pick a preset, change its settings if you like, and start; then pause the run "
    "at any step, walk through a batch, change the learning rate. Nothing is stored or sent "
    "while you choose."
)
KEY: Final = 12
FEWEST: Final = 42
"""Cells of a page of help, at least."""


class ChoosingBar(FixedBar):
    """The footer of the choosing screen."""

    in_field = False
    """A field has the focus: letters are typed into it."""

    def __init__(self, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(CHOOSING, id=id, ascii=ascii)

    def shown(self, width: int) -> list[KeyCommand]:
        self.commands = IN_FIELD if self.in_field else CHOOSING
        return super().shown(width)


def help_lines(width: int) -> list[Line]:
    """The page of help for `width` cells."""
    from ..render.glossary import glossary  # late: nobody needs it for the first paint
    from ..widgets.dialog import commands_page

    rows = [line(text) for text in wrap(INTRO, max(1, width))]
    return [*rows, *commands_page(CHOOSING, max(FEWEST, width), KEY), (), *glossary(width)]
