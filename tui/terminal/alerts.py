"""What calls a person back to the terminal: its bell, and a notification of its window."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TextIO

from ..render.format import clean

if TYPE_CHECKING:
    from ...core.protocol.diagnosis import Verdict
    from ...core.protocol.snapshot import Change, Outcome, Snapshot

LONGEST: Final = 200
"""Characters of a notification."""
BOTH: Final = ("kitty", "ghostty", "foot", "wezterm")
"""Terminals that take both kinds of notification, and would show each twice."""


class Alerts:
    """Rings when a run needs a person: an ending, a NaN, a breakpoint, a verdict.

    Args:
        name: of the run.
        streams: the first of them that is a terminal rings; without one there is silence.
        alone: nobody is asked at a NaN: that the run went back to a checkpoint is news.
    """

    def __init__(
        self, name: str, streams: Iterable[TextIO | None] = (), *, alone: bool = False
    ) -> None:
        self._name, self._streams = name, tuple(streams)
        self._kinds = ("break", "rewind") if alone else ("break",)
        self._trouble: Outcome | None = None
        self._last: Change | None = None
        self._begun = False

    def take(self, picture: Snapshot) -> None:
        """Ring for what has happened since the last picture; what was before the first is old."""
        trouble, changes = picture.trouble, picture.changes
        if trouble is not None and self._trouble is None:
            self._ring(trouble.headline)
        self._trouble = trouble
        if changes and changes[-1] is not self._last:
            new = next((i for i, one in enumerate(changes) if one is self._last), -1) + 1
            for change in changes[new:] if self._begun else ():
                if change.kind in self._kinds:
                    self._ring(change.text)
            self._last = changes[-1]
        self._begun = True

    def judged(self, verdicts: tuple[Verdict, ...]) -> None:
        """Ring for verdicts that are new."""
        for verdict in verdicts:
            self._ring(verdict.what)

    def ended(self, outcome: Outcome) -> None:
        """Ring for how the run ended, unless somebody has stopped it."""
        if outcome.state in ("finished", "failed"):
            self._ring(f"{outcome.state}: {outcome.headline}")

    def broke(self, condition: str) -> None:
        """Ring for a breakpoint that has ended the run."""
        self._ring(f"breakpoint {condition}")

    def _ring(self, text: str) -> None:
        for stream in self._streams:
            with contextlib.suppress(OSError, ValueError):
                if stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb":
                    stream.write(alert(f"{self._name}: {text}"))
                    stream.flush()
                    return


def alert(text: str) -> str:
    """What rings a terminal's bell and has its window show a notification (OSC 9 and OSC 777), with
    the cursor where it is.
    """
    text = clean(text)[:LONGEST].replace(";", ",")
    own = " ".join(os.environ.get(name, "") for name in ("TERM", "TERM_PROGRAM")).lower()
    asked = f"\x07\x1b]9;fivestep: {text}\x07"
    if not any(name in own for name in BOTH):
        asked += f"\x1b]777;notify;fivestep;{text}\x07"
    return asked
