"""A run from its plan: loading while torch and the data come, then the session itself."""

from __future__ import annotations

import contextlib
import math
import threading
import traceback
from typing import TYPE_CHECKING, Protocol

from ...core.protocol.commands import Command, Stop
from ...core.protocol.rank_times import RankNow
from ...core.protocol.snapshot import Outcome, RunInfo, RunLocation, Snapshot
from ...core.protocol.steps import State, Step
from ...core.training.own_code import first_line, own_line
from ...presets.errors import RecipeError
from ..render.charts import load_plotext
from ..render.keymap import keyed
from ..terminal.imports import importing, load_torch
from .builder import RunBuilder
from .plan import FilePlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...core.protocol.device_reading import DeviceReading
    from ...core.session.session import Session


class Source(Protocol):
    """What the screen needs of a run. Every method returns at once."""

    @property
    def info(self) -> RunInfo:
        """What does not change while the run goes on."""

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None while it goes on."""

    def now(self) -> tuple[Step, float] | None:
        """The phase running at this very moment, and since when (`time.perf_counter`)."""

    def ranks(self) -> tuple[RankNow, ...]:
        """What each of several processes does, as far as it is known; asks anew. Empty for one."""

    def latest(self, *, curves: bool = False) -> Snapshot | None:
        """The newest picture there is; also asks for a fresh one, with curves when wanted."""

    def send(self, command: Command) -> object:
        """Ask the run for something."""


class Launch:
    """A Source that can be watched before torch is loaded.

    Until the session exists `latest` is None, commands wait, and `info` is what the plan says
    of itself; building the run and training it happen in one thread of this object's own.
    """

    def __init__(self, builder: RunBuilder) -> None:
        self.builder = builder
        self.plan = plan = builder.plan
        self.session: Session | None = None
        self.probe: Callable[[], DeviceReading] | None = None
        """Takes readings of the device, once it is known."""
        self.built = threading.Event()
        """Set once there is a session, or it is clear that there will be none."""
        self._preview = plan.preview
        self._failed: Outcome | None = None
        self._early: list[Command] = []
        self._lock = threading.Lock()
        # A daemon, so that a step that never returns cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="fivestep-training", daemon=True)

    def start(self) -> None:
        """Begin: load, build, train."""
        self._thread.start()

    def _run(self) -> None:
        try:
            session = self._build()
        finally:
            self.built.set()
        if session is not None:
            session.run()

    def _build(self) -> Session | None:
        try:
            load_torch()
            # In the middle of a run its import would hold the run up; without it a panel says so.
            with importing(), contextlib.suppress(Exception):
                load_plotext()
            from ...core.training.device import DeviceProbe

            session = self.builder.session(None, "ask")
            probe = DeviceProbe(session.training.device)
        except Exception as error:
            self._failed = self._not_built(error)
            return None
        with self._lock:
            self.probe = probe.read
            for command in self._early:
                session.send(command)
            self.session = session
        return session

    def _not_built(self, error: Exception) -> Outcome:
        """The outcome of a run that there is nothing of."""
        told, advice, cause = first_line(error), "", error
        if isinstance(error, RecipeError):
            told, advice = str(error), keyed("{another} goes back to the settings")
            if isinstance(self.plan, FilePlan) and isinstance(error.__cause__, Exception):
                advice, cause = "", error.__cause__  # of a person's own file: show its traceback
        own = cause is not error or not isinstance(error, RecipeError)
        text = "".join(traceback.format_exception(cause)) if own else ""
        line = own_line(cause) if own else ""
        reason = told.removeprefix(f"{line}: ")
        return Outcome(State.FAILED, reason, "building the run", advice, text, line)

    @property
    def kept(self) -> RunLocation:
        """Where the run is kept, once it is built."""
        session, builder = self.session, self.builder
        if session is None or session.saving is None:
            return RunLocation(problem=builder.problem, notes=self.plan.notes)
        command = builder.resume_command
        return RunLocation(builder.place, command, builder.problem, self.plan.notes)

    @property
    def info(self) -> RunInfo:
        return self._preview if self.session is None else self.session.info

    @property
    def outcome(self) -> Outcome | None:
        return self._failed if self.session is None else self.session.outcome

    def now(self) -> tuple[Step, float] | None:
        return None if self.session is None else self.session.now()

    def ranks(self) -> tuple[RankNow, ...]:
        return () if self.session is None else self.session.ranks()

    def latest(self, *, curves: bool = False) -> Snapshot | None:
        return None if self.session is None else self.session.latest(curves=curves)

    def send(self, command: Command) -> None:
        """Steer the run; what is sent while it loads takes effect when it starts."""
        with self._lock:
            if self.session is None:
                self._early.append(command)
            else:
                self.session.send(command)

    def leave(self, patience: float, reason: str = "stopped by hand") -> bool:
        """Stop after the batch under way; wait for it, and for its checkpoint.

        A step or a disk that takes longer than `patience` seconds is given up.

        Returns:
            Whether the run came to its end.
        """
        if not self._thread.is_alive():
            return True
        if self.session is None:
            return False  # loading: there is nothing yet that could be lost
        self.send(Stop(reason))
        for _ in range(math.ceil(patience)):  # of a stop of the whole process, a second counts
            self._thread.join(1.0)
            if not self._thread.is_alive():
                break
        return not self._thread.is_alive()
