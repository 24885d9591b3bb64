"""`fivestep attach`: the watching screen of a run that another process trains, or of its files."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ...core.protocol.steps import State
from ...core.serving.client import RemoteRun
from ...core.storage.kept_run import KeptRun
from ...core.storage.replayed_run import WHOLE, ReplayedRun
from ...core.storage.run_directory import RunError
from ...core.storage.run_index import RunSummary
from ..browse.rows import epochs_of
from ..render.format import ago, clean, counted
from ..setup.attach import attach, said_of
from ..setup.preferences import preference
from ..terminal.output import FAILED
from ..terminal.script_process import ScriptProcess
from ..terminal.signals import TERMINAL_GONE, Signals
from ..terminal.terminal import Settings, forget_size, let_go
from ..watch.watch import WatchScreen
from ..widgets.messages import MessageLog
from .app import FivestepApp
from .open import show
from .report import summary


class RunsScreen(Screen[None]):
    """Which of several runs to attach to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape,ctrl+c", "app.leave", show=False, priority=True)
    ]
    DEFAULT_CSS = """
    RunsScreen {
        align: center middle;
        & > OptionList { width: 76; max-width: 96%; height: auto; max-height: 90%; }
    }
    """

    def __init__(self, runs: list[RunSummary]) -> None:
        super().__init__()
        self._runs = runs

    @dataclass
    class Chosen(Message):
        """Attach to this run."""

        name: str

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.post_message(self.Chosen(event.option_id or ""))

    def compose(self) -> ComposeResult:
        box = OptionList(*(Option(_row(run), id=run.name) for run in self._runs))
        box.border_title = "attach to which run?"
        yield box


def _row(run: RunSummary) -> Content:
    told = f"  {run.preset}, {epochs_of(run)}, {counted(run.batches_done, 'batch')}"
    if run.path is None:
        told = f"  {run.preset}, not kept"
    return Content.assemble((run.name, "bold"), clean(told))


class AttachApp(FivestepApp):
    """Watches a run that goes on whatever becomes of this screen.

    Args:
        folder: the runs folder.
        runs: what there is to attach to; of several one is chosen.
        run: attached to already, or read from its files.
        log: takes what there is to say.
        signals: in force while the screen is open.
    """

    def __init__(
        self,
        folder: Path,
        runs: list[RunSummary],
        run: RemoteRun | KeptRun | None,
        log: MessageLog,
        signals: Signals,
    ) -> None:
        super().__init__(None, log, signals=signals)
        self._folder, self._runs, self.watched = folder, runs, run
        self._watching: WatchScreen | None = None

    def open_first(self) -> None:
        if self.watched is not None:
            self._watch(self.watched)
        else:
            self.push_screen(RunsScreen(self._runs))

    def on_runs_screen_chosen(self, event: RunsScreen.Chosen) -> None:
        try:
            self.watched = attach(self._folder, event.name)
        except RunError as error:
            self.notify(str(error), severity="error", markup=False)
        else:
            self._watch(self.watched)

    @property
    def remote(self) -> RemoteRun | None:
        """The run that is watched, where it answers."""
        return self.watched if isinstance(self.watched, RemoteRun) else None

    def _watch(self, run: RemoteRun | KeptRun, script: ScriptProcess | None = None) -> None:
        self.set_interval(0.1, self._tell)
        self._watching = WatchScreen(
            run,
            device=self.remote.device if self.remote is not None else None,
            log=self.messages,
            kept=lambda: run.location,
            attached=self.remote,
            files=partial(_age, run) if isinstance(run, KeptRun) else None,
            replay=run if isinstance(run, ReplayedRun) else None,
            alerts=self.alerts(run.info.name, preference("bell")) if self.remote else None,
            script=script,
        )
        self.push_screen(self._watching)

    def _tell(self) -> None:
        """Pass on what the run has to say to this screen, behind what happened before it came."""
        remote, watching = self.remote, self._watching
        if remote is None or watching is None or not (watching.snapshot or remote.lost):
            return
        notices = remote.notices
        while notices:
            text = clean(notices.popleft())
            self.messages.add(text, "warning")
            self.notify(text, markup=False)


def _age(run: KeptRun) -> str:
    """That a run is read from its files, how old they are, and why nobody is asked; of a replay,
    where it is.
    """
    if isinstance(run, ReplayedRun):
        s = run.latest()
        pace = f"all in {WHOLE:.0f} s" if run.speed is None else f"{run.speed:g} batches/s"
        return (
            f"REPLAY at batch {s.batches_done if s else 0:,} of {run.last:,}, {pace}; inside it: "
            f"fivestep replay {clean(run.name)} --at {max(1, s.batches_done if s else 0)}"
        )
    written = "" if run.written is None else f", {ago(time.time() - run.written)} old"
    if run.problem:
        return f"its files can't be read on: {run.problem}; what is shown is from before"
    paused = next((c.kind for c in reversed(run.changes) if c.kind in ("pause", "resume")), "")
    if run.outcome is None and run.elsewhere is not None:
        return f"read from its files{written}: {said_of(run.elsewhere)}"
    if run.outcome is not None:
        return f"read from its files{written}: it is not being trained"
    return f"read from its files{written}{', paused then' * (paused == 'pause')}: {clean(run.why)}"


def open_attached(folder: Path, runs: list[RunSummary], run: RemoteRun | KeptRun | None) -> int:
    """Watch a run of another process until the person leaves.

    Args:
        folder, runs, run: as `AttachApp`.

    Returns:
        The exit code: 0 left, or the run has finished or stopped; 1 it has failed, or its process
        is gone; 129, 130 and 143 after a signal to this screen.
    """
    forget_size()
    log = MessageLog()
    with Signals(partial(Settings().restore, "")) as signals:
        app = AttachApp(folder, runs, run, log, signals)
        lost = show(app, log, signals)
        watched = app.watched
        if watched is not None:
            watched.close()
        if lost:
            let_go()
            return TERMINAL_GONE
        code = signals.exit_code or 0
        return _left(watched) or code if isinstance(watched, RemoteRun) else code


def _left(remote: RemoteRun) -> int:
    """Say what has become of the run, or how to come back to it; the exit code."""
    last, outcome = remote.latest(), remote.outcome
    if outcome is not None and last is not None:
        for line in summary(remote.info, last, outcome):
            print(clean(line))
        return FAILED if outcome.state is State.FAILED else 0
    print(clean(f"{remote.info.name} goes on; to come back: fivestep attach {remote.name}"))
    return 0
