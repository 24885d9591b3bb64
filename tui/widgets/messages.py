"""What the run said and what was changed by hand: a bounded log, wrapped and searchable."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final, Literal

from textual import events

from ..render.format import clean, wrap
from ..render.spans import Line, line
from .panel import Panel

MessageKind = Literal["info", "hand", "warning", "error"]
"""Who or what a message is from: "hand" is a person's doing."""
KEPT: Final = 2000
LATE: Final = 10.0
"""Seconds by which a message may be late; by more only a clock was set back."""
LONGEST: Final = 4000
"""Characters kept of one message."""
ICON: Final = {"info": " ", "hand": "▲", "warning": "!", "error": "✗"}
STYLE: Final = {"info": "", "hand": "", "warning": "warn", "error": "bad"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A message, cleaned when it came in."""

    time: float
    """Seconds since 1970 (Unix time); NaN if nobody knows."""
    text: str
    kind: MessageKind = "info"


class MessageLog:
    """The last `KEPT` messages. `add` may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.now = clock
        """Seconds since 1970."""
        self._entries: deque[Entry] = deque()
        self._adding = Lock()
        self.added = 0
        """Messages ever added: tells a reader whether there is something new."""
        self.warnings = 0
        """Warnings among them."""

    def add(self, text: str, kind: MessageKind = "info", time: float | None = None) -> None:
        """Append a message; escape sequences and control characters are dropped.

        Args:
            time: when it came about, if not now: it stands before what came up to `LATE` after it;
                NaN if nobody knows.
        """
        text = clean(text[:LONGEST], lines=True).rstrip()
        if not text:
            return
        with self._adding:
            place = len(self._entries)
            while time is not None and place and 0 < self._entries[place - 1].time - time < LATE:
                place -= 1
            self._entries.insert(place, Entry(self.now() if time is None else time, text, kind))
            if len(self._entries) > KEPT:
                self._entries.popleft()
            self.added += 1
            self.warnings += kind == "warning"

    def put(self, text: str, entry: object = None) -> object:
        """Show a text in the place of one that `put` has shown; gives what stands for it."""
        with self._adding:
            newest_first = enumerate(reversed(self._entries)) if entry is not None else ()
            place = next((i for i, e in newest_first if e is entry), None)
            if place is not None:
                at = len(self._entries) - 1 - place
                new = Entry(self._entries[at].time, clean(text[:LONGEST]))
                if new.text:
                    self._entries[at] = new
                else:
                    del self._entries[at]
                self.added += 1
                return new
        before = self.added
        self.add(text)
        return self._entries[-1] if self.added > before else None

    def entries(self, search: str = "") -> list[Entry]:
        """The messages that contain `search` (in any case), oldest first."""
        entries = list(self._entries.copy())
        return [e for e in entries if search.casefold() in e.text.casefold()] if search else entries

    def last_from(self, text: str) -> list[str]:
        """What was said since the text was said last."""
        said = [entry.text for entry in self.entries()]
        start = next((i for i in range(len(said) - 1, -1, -1) if text in said[i]), len(said))
        return said[start:]


class MessagesPanel(Panel):
    """The newest messages at the bottom; wheel and Page keys look back."""

    BORDER_TITLE = "messages"
    WEIGHT = "quiet"

    def __init__(self, log: MessageLog, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id, ascii=ascii)
        self.log_of_run = log
        self.search = ""
        self.back = 0
        """Lines scrolled back from the newest."""
        self._drawn: tuple[int, str, int] | None = None
        self._warnings_drawn = log.warnings

    @property
    def warned(self) -> bool:
        """Whether there is a warning that has not been on the screen."""
        return self.log_of_run.warnings > self._warnings_drawn

    def refresh_if_new(self) -> None:
        """Draw if a message came in, the search changed, or it was scrolled."""
        if self._drawn != (self.log_of_run.added, self.search, self.back):
            self.redraw()

    def look_back(self, lines: int) -> None:
        """Look back (above 0) or ahead."""
        self.back = max(0, self.back + lines)
        self.redraw()

    def scroll_pages(self, pages: int) -> None:
        """Look ahead by so many screens of messages, or back (below 0)."""
        self.look_back(-pages * max(1, self.content_size.height - 1))

    def lines(self, width: int, height: int) -> list[Line]:
        entries = self.log_of_run.entries(self.search)
        found = f" · {len(entries)} with “{self.search}”" if self.search else ""
        self.set_title(f"messages{found}")
        rows: list[Line] = []
        need = height + self.back
        for entry in reversed(entries):
            rows[:0] = self._rows(entry, width)
            if len(rows) >= need:
                break
        self.back = max(0, min(self.back, len(rows) - height))
        self._drawn = (self.log_of_run.added, self.search, self.back)
        self._warnings_drawn = self.log_of_run.warnings
        end = len(rows) - self.back
        shown = rows[max(0, end - height) : end]
        if not shown:
            shown = [line(("nothing found" if self.search else "nothing so far", "dim"))]
        return shown

    def _stamp(self, at: float) -> str:
        """The time of day; of another day, as an earlier part of the run may be, its date; blanks
        where it is not known.
        """
        try:
            then, now = time.localtime(at), time.localtime(self.log_of_run.now())
        except (ValueError, OverflowError, OSError):  # not known, or no time at all
            return " " * 8
        today = (then.tm_year, then.tm_yday) == (now.tm_year, now.tm_yday)
        return time.strftime("%H:%M:%S" if today else "%d %b  ", then)

    def _rows(self, entry: Entry, width: int) -> list[Line]:
        stamp = self._stamp(entry.time) if width >= 30 else ""
        indent = len(stamp) + 3 if stamp else 2
        style = STYLE[entry.kind]
        rows = []
        for i, text in enumerate(wrap(entry.text, max(1, width - indent))):
            lead = line(
                (f"{stamp} " if stamp else "", "dim"), (f"{ICON[entry.kind]} ", style or "hand")
            )
            rows.append((*(lead if i == 0 else line(" " * indent)), *self._marked(text, style)))
        return rows

    def _marked(self, text: str, style: str) -> Line:
        """The text with what was searched for underlined."""
        place = text.casefold().find(self.search.casefold()) if self.search else -1
        if place < 0:
            return line((text, style))
        end = place + len(self.search)
        return line((text[:place], style), (text[place:end], "mark"), (text[end:], style))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.look_back(3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.look_back(-3)
