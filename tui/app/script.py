"""`fivestep run`: the watching screen of a script that it has started, and that goes on without."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Static

from ...core.protocol.steps import State
from ...core.serving.address import meeting_place
from ...core.serving.client import RemoteRun, UnreachableError
from ..render.format import clean
from ..setup.detach import LOG
from ..setup.script import ScriptOptions, environment
from ..terminal.folded_output import last_lines
from ..terminal.output import FAILED, complain
from ..terminal.script_process import ScriptProcess
from ..terminal.signals import TERMINAL_GONE, Signals
from ..terminal.terminal import forget_size, let_go
from ..watch.dialogs import AskStop, StopAnswer
from ..watch.script_input import ScriptInput
from ..widgets.messages import MessageLog, MessagesPanel
from .attach import AttachApp
from .open import show
from .report import summary

KEYS = "enter answers the script · ctrl+c interrupts it · q leaves"
PATIENCE = 5.0
"""Seconds in which a script has to end once its training has."""
SHOWN = 40
"""Lines of the output of a script that has failed, to be seen once the screen is gone."""
AGAIN = 0.1
"""Seconds between two looks for the run, and at the script."""


class WaitingScreen(Screen[None]):
    """What the script prints, until it trains."""

    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "app.ask_stop", show=False, priority=True),
        Binding("enter", "app.answer", show=False),
    ]
    DEFAULT_CSS = """
    WaitingScreen {
        layout: vertical; background: $background;
        & > #what { height: 3; padding: 1 2 0 2; }
        & > MessagesPanel { height: 1fr; }
        & > #keys { height: 1; padding: 0 2; color: $text-muted; }
    }
    """

    def __init__(self, command: str, log: MessageLog) -> None:
        super().__init__()
        self._command, self._log, self._begun = clean(command), log, time.monotonic()

    def compose(self) -> ComposeResult:
        yield Static(self._words(), id="what")
        yield MessagesPanel(self._log)
        yield Static(KEYS, id="keys")

    def on_mount(self) -> None:
        self.set_interval(AGAIN, self._tell)

    def _tell(self) -> None:
        self.query_one("#what", Static).update(self._words())
        self.query_one(MessagesPanel).refresh_if_new()

    def _words(self) -> Content:
        waited = f"waiting for the script's first batch ... {time.monotonic() - self._begun:.0f} s"
        brand, _, command = self._command.partition(" ")  # fivestep itself
        return Content.assemble((brand, "bold $primary"), " ", command, "\n", waited)


class ForScript(Signals):
    """Signals that are the script's: however many come, this process ends with it."""

    def end_at_once(self, number: int) -> None:
        pass


class ScriptApp(AttachApp):
    """Watches a script.

    Args:
        script: started.
        options: of its run.
        log: takes its output.
        signals: in force while the screen is open.
    """

    def __init__(
        self, script: ScriptProcess, options: ScriptOptions, log: MessageLog, signals: Signals
    ) -> None:
        super().__init__(Path(options.folder), [], None, log, signals)
        self.script, self._asked = script, options
        self._passed_on = False
        """Whether a signal to this process was given to the script."""

    def open_first(self) -> None:
        self.push_screen(WaitingScreen(self._asked.command, self.messages))
        self.set_interval(AGAIN, self._look_for_run)

    def on_resize(self, event: Resize) -> None:
        super().on_resize(event)
        self.script.fit()

    def _look_for_run(self) -> None:
        """Whether the script trains by now, or has ended without."""
        meet = Path(self._asked.meet or "")
        if self.remote is None and meet.is_symlink():
            try:
                self.watched = remote = RemoteRun(str(meet.readlink()))
            except (OSError, UnreachableError):
                return
            if place := remote.location.place:
                self.script.keep_output_in(str(Path(place, LOG)))
            self._watch(remote, self.script)
        if self.script.exit_code is not None and (self.remote is None or self._passed_on):
            self.exit()

    def action_answer(self) -> None:
        """Type something for the script to read."""
        self.push_screen(ScriptInput(self.script))

    def action_ask_stop(self) -> None:
        """Interrupt a script that does not train yet, leave it alone, or go on waiting."""
        self.push_screen(AskStop(script=True), self._answered)

    def _answered(self, answer: StopAnswer | None) -> None:
        if answer == "leave":
            self.exit()
        elif answer == "batch":
            self.script.interrupt()
            self.messages.add("Ctrl+C sent to the script", "hand")

    def action_leave_at_once(self) -> None:
        """Leaving waits for nothing here."""

    def action_leave(self, reason: str = "") -> None:
        caught = self._signals.caught
        if caught is not None:  # it is the script's to decide what comes of it
            self.script.send(caught)
            self._signals.caught = None
            self._passed_on = True
            return
        super().action_leave(reason)


def run_on_screen(command: Sequence[str], options: ScriptOptions) -> int:
    """Run a script on the screen, until it has ended and the person leaves, or leaves it running.

    Returns:
        Its exit code; of one whose process has not ended yet 1 if its training has failed, else 0.
    """
    forget_size()
    log = MessageLog()
    try:
        meet = meeting_place()
    except OSError as error:
        complain(f"there is no place where the screen and the script could meet: {error}")
        return FAILED
    try:
        options = msgspec.structs.replace(options, meet=str(meet))
        script = ScriptProcess(command, environment(options), log.put)
        with ForScript() as signals:
            script.start()
            app = ScriptApp(script, options, log, signals)
            if show(app, log, signals):
                let_go()
                return TERMINAL_GONE
            return tell_the_end(script, app.remote)
    finally:
        meet.unlink(missing_ok=True)


def tell_the_end(script: ScriptProcess, remote: RemoteRun | None) -> int:
    """Say what has become of the script; the exit code."""
    code, outcome = script.exit_code, None if remote is None else remote.outcome
    if code is None and outcome is not None:
        code = script.wait(PATIENCE)
    if code is not None and remote is None:
        os.write(1, bytes(script.tail))
    elif code:
        print(last_lines(bytes(script.tail), SHOWN))
    if remote is not None:
        last = remote.latest()
        remote.close()
        if outcome is not None and last is not None:
            for line in summary(remote.info, last, outcome):
                print(clean(line))
            if code is not None and code > 0 and outcome.state is State.FINISHED:
                print(f"the script left with exit code {code}")
    if code is None and outcome is not None and remote is not None and not remote.lost:
        print(clean(f"the script's process {script.process} has not ended yet"))
        return FAILED if outcome.state is State.FAILED else 0
    if code is None:
        name = f"; to come back: fivestep attach {remote.name}" if remote is not None else ""
        print(clean(f"the script goes on, process {script.process}{name}"))
        return 0
    if code < 0:
        complain(f"the script was ended by {signal.Signals(-code).name}")
    return code if code >= 0 else 128 - code
