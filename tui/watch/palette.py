"""What the command palette offers: the commands of a run, then those of the program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from textual.command import DiscoveryHit, Hit, Hits, Provider

from ..render.keymap import applying
from .watch import WatchScreen


class PaletteCommands(Provider):
    """What can be done now, in the order of the table of commands.

    One provider, since Textual keeps them in a set and shows them in any order.
    """

    async def discover(self) -> Hits:
        for name, help, run in self._commands():
            yield DiscoveryHit(name, run, help=help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, help, run in self._commands():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), run, help=help)

    def _commands(self) -> Iterator[tuple[str, str, Callable[[], Any]]]:
        """Name, help and what to call, of each."""
        if isinstance(self.screen, WatchScreen):
            actions = self.screen.actions
            for command in applying(actions.situation):
                name = f"{command.label}  ({command.shown})"
                yield name, command.help, partial(actions.perform, command.id)
        for name, help, run, _ in self.app.get_system_commands(self.screen):
            yield name, help, run
