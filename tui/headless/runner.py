"""A run without a screen: builds it, waits for it, and gives the process its exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING, Final

from ...core.protocol.commands import Note, Resume, Save, SetBreakpoints, SetSpeed, Stop
from ...core.protocol.rank import this_rank
from ...core.protocol.steps import State
from ...core.storage.run_directory import RunError
from ...presets.errors import RecipeError
from ..terminal.imports import load_torch
from ..terminal.output import (
    BROKE,
    FAILED,
    REFUSED,
    complain,
    let_first_speak,
    print_traceback,
    stdout,
    tell_left,
    warnings_once,
    written,
)
from ..terminal.signals import TERMINAL_GONE, Signals, end_children
from ..terminal.terminal import Terminals, is_gone, let_go, surviving_streams
from .reporter import Ending, Reporter, give_up_data, tell_unkept
from .text_reporter import TextReporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...core.session.session import Session
    from ..setup.builder import RunBuilder
    from ..setup.launch import Launch


def run(builder: RunBuilder, reporter: Reporter, *, show_traceback: bool = False) -> int:
    """Build and train a run while a reporter follows it.

    Returns:
        The exit code: 0 finished or stopped as asked, 1 failed, 2 could not be built, 3 ended by
        a breakpoint, 4 not all of it is on the disk, 130 and 143 interrupted by SIGINT and
        SIGTERM, 141 if nobody reads stdout any more.
    """
    terminals = Terminals()

    def leave() -> None:
        reporter.leave()
        if session is None:
            tell_left(builder.abandon())

    session: Session | None = None
    with surviving_streams(), warnings_once(), Signals(leave, running=False) as signals:
        reporter.announce(builder)
        try:
            with reporter.loading(builder):
                load_torch()
                build = partial(builder.session, reporter, "stop", on_break="stop")
                session = build() if this_rank().size == 1 else _aside(build)
        except (RecipeError, RunError) as error:
            if this_rank().number:
                let_first_speak()
            print_traceback("".join(traceback.format_exception(error)), show_traceback)
            complain(str(error))
            return REFUSED
        if builder.problem:
            complain(builder.problem)
        signals.run_begins()
        reporter.begin(session)
        session.start()
        code = follow(session, reporter, signals, terminals, show_traceback=show_traceback)
        if code == BROKE and builder.replay is not None:
            code = 0  # it has come to where it was to go
        return tell_unkept(builder, session, code)


def _aside(build: Callable[[], Session]) -> Session:
    """Build it in another thread: one that waits for other ranks takes no signal meanwhile."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as aside:
        return aside.submit(build).result()


def follow(
    session: Session,
    reporter: Reporter,
    signals: Signals,
    terminals: Terminals,
    *,
    alone: bool = False,
    show_traceback: bool = False,
) -> int:
    """Follow a run that has started; a signal or a lost reader of its lines stops it.

    A terminal that goes away stops nothing.

    Args:
        session: the run, in a thread of its own.
        reporter: gets its records.
        signals: in force.
        terminals: those that the process was started on.
        alone: the run may ask what to do (see `Session`), and nobody is there to answer, unless
            somebody attaches.
        show_traceback: print the traceback of a failure.

    Returns:
        The exit code, as `run`, but for what is not on the disk.
    """
    stopping = False
    while not session.join(reporter.interval):
        awake, signals.awake = signals.awake, None
        session.beat() if awake is None else session.awake(awake)
        reporter.tick(session)
        if (picture := session.latest()) is not None:
            reporter.alerts.take(picture)
        if terminals.went_away():
            session.send(Note(f"{GONE}; {_how_to_stop()}"))
        if alone:
            _answer(session)
        if not stopping and (signals.caught or reporter.output.gone):
            stopping = True
            if signals.caught:
                reporter.stopping()
                session.send(Stop(INTERRUPTED + signals.caught.name))
            else:
                session.send(Stop("nobody reads the output"))
        elif stopping:
            give_up_data(session)
    outcome, last = session.outcome, session.latest()
    assert outcome is not None
    if outcome.state is not State.FINISHED:
        end_children()
    assert last is not None
    report = session.report
    # Of several ranks another one's signal may stop all of them before this one's comes.
    interrupted = outcome.state is State.STOPPED and outcome.reason.startswith(INTERRUPTED)
    if report is not None:
        reporter.alerts.broke(report.condition)
        reporter.broke(report)
    reporter.end(session, Ending("interrupted" if interrupted else outcome.state, outcome, last))
    reporter.alerts.ended(outcome)
    reporter.output.flush()
    if outcome.state is State.FAILED:
        print_traceback(outcome.traceback, show_traceback)
        rank = this_rank()
        if not rank.number or outcome.reason.startswith(f"{rank.name}: "):  # else another tells
            complain(": ".join(filter(None, (outcome.place, outcome.reason, outcome.advice))))
        code = FAILED
    elif interrupted:
        code = 128 + signal.Signals[outcome.reason.removeprefix(INTERRUPTED)]
    else:
        code = written(reporter.output) or (BROKE if report is not None else 0)
    return code


INTERRUPTED: Final = "interrupted by "
"""Why a run was stopped, before the signal's name."""


def _answer(session: Session) -> None:
    """Answer in the place of a person, who is not there, when the run is held or paused."""
    picture = session.latest()
    if picture is None or picture.state is not State.PAUSED or session.attended:
        return
    held = picture.trouble is not None
    session.send(Stop("nobody is there to be asked") if held else Resume())


GONE: Final = "the terminal went away; training goes on"


def _how_to_stop() -> str:
    """How somebody stops this process from another terminal."""
    return f"to stop it after a batch, with a checkpoint: kill {os.getpid()}"


def without_terminal(launch: Launch | None, before: Signals) -> int:
    """The terminal went away: train to the end all the same.

    Returns:
        The exit code: by the run's outcome; 129, as SIGHUP has it, if there was no run.
    """
    if launch is None:
        return TERMINAL_GONE
    if launch.outcome is None and not is_gone():  # SIGHUP was sent by hand
        complain(f"{GONE} without a screen; {_how_to_stop()}")
    let_go()
    if launch.outcome is not None:
        code = FAILED if launch.outcome.state is State.FAILED else 0
        session = launch.session
        return code if session is None else tell_unkept(launch.builder, session, code)
    reporter = Reporter(stdout())
    with Signals(reporter.leave, running=False) as signals:
        signals.caught = before.caught
        return _to_the_end(launch, reporter, signals, f"{GONE} without a screen; {_how_to_stop()}")


def without_screen(launch: Launch) -> int:
    """The screen itself failed, the terminal is there: that is no reason to lose the run.
    The exit code is never 0: something did fail.
    """
    if launch.outcome is not None:
        return FAILED
    complain("training goes on without it; Ctrl+C stops after the batch under way")
    reporter = TextReporter(stdout())
    with Signals(reporter.leave, running=False) as signals:
        return _to_the_end(launch, reporter, signals, "the screen failed") or FAILED


def _to_the_end(launch: Launch, reporter: Reporter, signals: Signals, note: str) -> int:
    """Follow the run: no pause, slow motion, breakpoint or question holds it any more."""
    picture = launch.latest()
    if picture is not None and picture.state is State.PAUSED and picture.trouble is None:
        launch.send(Save())  # a person may come back for this very moment
    for command in (Note(note), SetSpeed(None), SetBreakpoints(()), Resume()):
        launch.send(command)
    launch.built.wait()
    session = launch.session
    if session is None:
        assert launch.outcome is not None
        complain(launch.outcome.headline)  # it could not be built
        return FAILED
    signals.run_begins()
    reporter.begin(session)
    code = follow(session, reporter, signals, Terminals(), alone=True)
    sys.stdout.flush()
    return tell_unkept(launch.builder, session, code)
