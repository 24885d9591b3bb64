"""The command palette's part of the table of commands."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Protocol, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from ..render.keymap import applying
from .watch_actions import Actions


class HasActions(Protocol):
    """The watch screen."""

    actions: Actions


class RunCommands(Provider):
    """What can be done with the run now."""

    async def discover(self) -> Hits:
        for name, help, run in self._commands():
            yield DiscoveryHit(name, run, help=help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, help, run in self._commands():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), run, help=help)

    def _commands(self) -> Iterator[tuple[str, str, partial[None]]]:
        """Name, help and what to call, of each."""
        actions = cast("HasActions", self.screen).actions
        for command in applying(actions.situation):
            name = f"{command.label}  ({command.shown})"
            yield name, command.help, partial(actions.perform, command.id)
