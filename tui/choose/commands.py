"""What can be done on the choosing screen, in the form of the watch screen's table."""

from __future__ import annotations

from typing import ClassVar, Final

from ..render.format import wrap
from ..render.keymap import Command
from ..render.spans import Line, Run, line
from ..widgets.footer import CommandBar
from ..widgets.panel import styles

CHOOSING: Final = (
    Command("start", ("enter",), "enter", "start", "Start the run", "Choose", footer=1),
    Command("choose", (), "↑ ↓", "choose",
            "Another preset; in a field, another value", "Choose", footer=3),
    Command("next_field", ("tab",), "tab", "settings", "To the next field", "Choose", footer=2),
    Command("previous_field", ("shift+tab",), "shift+tab", "field before",
            "To the field before", "Choose"),
    Command("list", ("escape",), "esc", "presets", "Back to the list of presets", "Choose"),
    Command("reset", ("r",), "r", "reset", "The recipe's own settings again", "Choose", footer=5),
    Command("copy", ("c",), "c", "copy command",
            "Copy the command line that runs the same", "Choose", footer=4),
    Command("theme", ("d",), "d", "dark/light", "Dark or light colours", "Program", footer=6),
    Command("quit", ("q", "ctrl+c"), "q", "quit", "Leave fivestep", "Program", footer=2),
    Command("help", ("question_mark", "f1"), "?", "help", "This page", "Program", footer=1),
)  # fmt: skip

INTRO: Final = (
    "fivestep trains a PyTorch model and shows the five steps that its training loop takes for "
    "every batch. Pick a preset, change its settings if you like, and start; then hold the run "
    "at any step, walk through a batch, change the learning rate. Nothing is stored or sent "
    "while you choose."
)
FEWEST: Final = 30


class ChoosingBar(CommandBar, inherit_component_classes=False):
    """The footer of the choosing screen."""

    COMPONENT_CLASSES: ClassVar[set[str]] = styles("dim", "key")

    def lines(self, width: int, height: int) -> list[Line]:
        shown = list(CHOOSING)
        while shown and sum(len(t) for c in shown for t in c.footer_runs) > width:
            shown.remove(max(shown, key=lambda c: c.footer or 9))
        runs: list[Run] = []
        self._spans = []
        place = 0
        for command in (c for c in shown if c.footer):
            key, label = command.footer_runs
            runs += [(key, "key"), (label, "dim")]
            self._spans.append((place, place + len(key) + len(label), command.id))
            place += len(key) + len(label)
        return [line(*runs)]


def help_lines(width: int) -> list[Line]:
    """The page of help for `width` cells."""
    rows = [line(text) for text in wrap(INTRO, max(1, width))]
    for group in dict.fromkeys(command.group for command in CHOOSING):
        rows += [(), line((group, "bold"))]
        for command in CHOOSING:
            if command.group != group:
                continue
            keys = command.shown + (", ctrl+c" if "ctrl+c" in command.keys else "")
            first, *more = wrap(command.help, max(FEWEST, width - 12))
            rows += [line((f"{keys:<12}", "key"), first)]
            rows += [line(" " * 12, text) for text in more]
    return rows
