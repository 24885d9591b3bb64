"""The footer: what can be done now, from the table of commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.message import Message

from ...core.protocol.steps import State
from ..render.keymap import KeyCommand, Situation, footer, footer_width
from ..render.spans import Line, Span, line
from .panel import Panel


class CommandBar(Panel):
    """Keys and labels; each can be clicked."""

    DEFAULT_CSS = "CommandBar { height: 1; dock: bottom; background: $panel; }"

    @dataclass
    class Chosen(Message):
        """A command was clicked."""

        command: str

    def __init__(self, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id, ascii=ascii)
        self.situation = Situation(State.LOADING)
        self._places: list[tuple[int, int, str]] = []

    def shown(self, width: int) -> list[KeyCommand]:
        """The commands that `width` cells have room for."""
        return footer(self.situation, width)

    def lines(self, width: int, height: int) -> list[Line]:
        spans: list[Span] = []
        self._places = []
        place = 0
        for command in self.shown(width):
            key, label = command.footer_spans
            spans += [(key, "key"), (label, command.style)]
            end = place + len(key) + len(label)
            self._places.append((place, end, command.id))
            place = end
        return [line(*spans)]

    def on_click(self, event: events.Click) -> None:
        for start, end, command in self._places:
            if start <= event.x < end:
                self.post_message(self.Chosen(command))


class FixedBar(CommandBar):
    """The footer of a screen whose commands do not depend on a run."""

    def __init__(
        self, commands: Sequence[KeyCommand], *, id: str | None = None, ascii: bool = False
    ) -> None:
        super().__init__(id=id, ascii=ascii)
        self.commands = commands

    def shown(self, width: int) -> list[KeyCommand]:
        shown = [command for command in self.commands if command.footer]
        while shown and footer_width(shown) > width:
            shown.remove(max(shown, key=lambda command: command.footer))
        return shown
