"""The command palette's part of the table of commands."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from textual.command import DiscoveryHit, Hit, Hits, Provider

from ..render.keymap import KeyCommand, applying


class RunCommands(Provider):
    """What can be done with the run now."""

    async def discover(self) -> Hits:
        for command, run in self._commands():
            yield DiscoveryHit(_name(command), run, help=command.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command, run in self._commands():
            score = matcher.match(_name(command))
            if score > 0:
                yield Hit(score, matcher.highlight(_name(command)), run, help=command.help)

    def _commands(self) -> list[tuple[KeyCommand, Callable[[], None]]]:
        screen: Any = self.screen
        return [(c, partial(screen.perform, c.id)) for c in applying(screen.situation)]


def _name(command: KeyCommand) -> str:
    return f"{command.label}  ({command.shown})"
