"""Every command of the watch screen, once: keys, footer, help and palette all read this table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from ..core.snapshot import State

Group = Literal["Choose", "Steer", "Look", "Messages", "After the run", "Program"]


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides which commands apply."""

    state: State
    validation: bool = True
    """The run has validation data."""
    traceback: bool = False
    selected: bool = False
    """A step was chosen to be explained."""
    searching: bool = False
    narrow: bool = False
    """Messages are behind a key."""

    @property
    def live(self) -> bool:
        """The run goes on, or is held."""
        return not self.state.ended


def _always(at: Situation) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Command:
    """Something a person can do."""

    id: str
    keys: tuple[str, ...]
    """Textual's names; the first one is shown."""
    shown: str
    """The key as people write it."""
    label: str
    """One or two words for the footer."""
    help: str
    group: Group
    when: Callable[[Situation], bool] = _always
    footer: int = 0
    """0 is not in the footer; otherwise 1 stays longest when room is short."""
    short: str | None = None
    """The footer's label, if not `label`; an empty one leaves it to the neighbour."""

    @property
    def footer_runs(self) -> tuple[str, str]:
        """The key and the label as the footer shows them."""
        label = self.label if self.short is None else self.short
        return f" {self.shown}", f" {label} " if label else ""


def _live(at: Situation) -> bool:
    return at.live


def _paused(at: Situation) -> bool:
    return at.state is State.PAUSED


def _moving(at: Situation) -> bool:
    return at.live and not _paused(at)


def _ended(at: Situation) -> bool:
    return at.state.ended


COMMANDS: Final = (
    Command("pause", ("space",), "space", "pause",
            "Hold the run at once, inside a batch too", "Steer", _moving, 1),
    Command("resume", ("space",), "space", "resume", "Go on", "Steer", _paused, 1),
    Command("step", ("s",), "s", "step",
            "Take one phase, then hold: walk through the five steps", "Steer", _live, 2),
    Command("batch", ("b",), "b", "batch", "Train one batch, then hold", "Steer", _live, 3),
    Command("epoch", ("e",), "e", "epoch", "Train one epoch, then hold", "Steer", _live, 7),
    Command("slower", ("less_than_sign", "comma"), "<", "slower",
            "Slow motion, down to one phase a second", "Steer", _live, 5, ""),
    Command("faster", ("greater_than_sign", "full_stop"), ">", "faster",
            "Faster, up to full speed", "Steer", _live, 5, "speed"),
    Command("lr_up", ("plus", "equals_sign"), "+", "lr ×2",
            "Double the learning rate, on top of any schedule", "Steer", _live, 4, ""),
    Command("lr_down", ("minus",), "-", "lr ÷2",
            "Halve the learning rate, on top of any schedule", "Steer", _live, 4, "lr"),
    Command("validate", ("x",), "x", "validate",
            "Validate now, at the next edge between two batches", "Steer",
            lambda at: at.live and at.validation, 8),
    Command("traceback", ("T",), "T", "traceback",
            "Show where in the code it failed", "After the run",
            lambda at: at.state is State.FAILED and at.traceback, 1),
    Command("again", ("r",), "r", "run again", "The same run from the start",
            "After the run", _ended, 2),
    Command("another", ("n",), "n", "another preset", "Back to the choosing screen",
            "After the run", _ended, 3),
    Command("next_step", ("down",), "↓", "next step", "Explain the next step", "Look"),
    Command("previous_step", ("up",), "↑", "previous step", "Explain the previous step", "Look"),
    Command("follow", ("escape",), "esc", "follow",
            "Explain the running step again; leave a search or the messages", "Look",
            lambda at: at.selected or at.searching),
    Command("window", ("w",), "w", "recent/whole", "Chart: recent batches or the whole run",
            "Look", _always, 9),
    Command("log", ("l",), "l", "log scale", "Chart: logarithmic or linear",
            "Look", _always, 10),
    Command("smooth", ("m",), "m", "smooth", "Chart: smoothing off, light, strong",
            "Look", _always, 11),
    Command("metric", ("t",), "t", "next metric",
            "Chart: loss, validation metric, learning rate, gradient norm, throughput",
            "Look", _always, 9),
    Command("messages", ("v",), "v", "messages", "Show or hide the messages", "Messages",
            lambda at: at.narrow, 6),
    Command("search", ("slash",), "/", "search", "Show only messages that contain a text",
            "Messages", _always, 12),
    Command("back", ("pageup",), "PgUp", "older", "Older messages", "Messages"),
    Command("ahead", ("pagedown",), "PgDn", "newer", "Newer messages", "Messages"),
    Command("theme", ("d",), "d", "dark/light", "Dark or light colours", "Program", _always, 13),
    Command("stop", ("q", "ctrl+c"), "q", "stop",
            "Ask: stop after this batch, after this epoch, or go on", "Program", _live, 1),
    Command("quit", ("q", "ctrl+c"), "q", "quit", "Leave fivestep", "Program", _ended, 1),
    Command("help", ("question_mark", "f1"), "?", "help", "This page", "Program", _always, 1),
)  # fmt: skip

BY_ID: Final = {command.id: command for command in COMMANDS}
KEYS: Final = tuple(dict.fromkeys(key for command in COMMANDS for key in command.keys))
"""Every key once; two commands may share one, if they never apply at the same time."""


def applying(at: Situation) -> list[Command]:
    """The commands that make sense now, in the order of the table."""
    return [command for command in COMMANDS if command.when(at)]


def for_key(key: str, at: Situation) -> Command | None:
    """What a key does now."""
    return next((command for command in applying(at) if key in command.keys), None)


def footer(at: Situation, width: int) -> list[Command]:
    """What the footer shows in `width` cells: the least important give way first."""
    shown = [command for command in applying(at) if command.footer]
    while footer_width(shown) > width:
        least = max(command.footer for command in shown)
        if least == 1:
            break
        shown = [command for command in shown if command.footer < least]
    return shown


def footer_width(shown: list[Command]) -> int:
    """Cells that these take."""
    return sum(len(text) for command in shown for text in command.footer_runs)
