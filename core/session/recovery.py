"""The ways back: to the last good checkpoint, and to before the loop was broken on purpose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Final, Literal

from ..protocol.commands import Control, GoBack, Note, Show, Stop, Undo
from ..protocol.snapshot import Outcome
from ..protocol.steps import State
from ..storage.persistence import Persistence
from .engine import Engine
from .state import RunState, put_rng, put_state

OnNonFinite = Literal["stop", "rollback", "ask", "ignore"]
Answer = Literal["back", "undo", "stop"]
REWINDS: Final = 3
"""How often a run goes back because of one batch."""


class Recovery:
    """Puts a run back to an earlier state of its own. Only the training thread touches it."""

    def __init__(
        self,
        parts: RunState,
        engine: Engine,
        control: Control,
        saving: Persistence | None,
        on_nonfinite: OnNonFinite,
    ) -> None:
        self._parts, self._engine, self._control, self._saving = parts, engine, control, saving
        self._on_nonfinite = on_nonfinite
        self._rewinds: Counter[int] = Counter()

    def goes_back(self, trouble: Outcome) -> bool:
        """Return to the last good checkpoint with half the learning rate, if that is wanted.

        Args:
            trouble: what a NaN or an infinity would end the run with.

        Returns:
            Whether the run can go on.
        """
        progress, rate, saving = self._parts.progress, self._parts.rate, self._saving
        self._rewinds[progress.batches_done] += 1
        asks, broken = self._on_nonfinite == "ask", self._engine.switching.before is not None
        if self._rewinds[progress.batches_done] > REWINDS and not (asks and broken):
            return False
        if asks and (saving is not None or broken):
            said = self._asked(trouble)
            if said == "undo" or (said == "back" and saving is None):
                self.undo()
                return True
            if said == "stop":
                return False
        elif self._on_nonfinite != "rollback":
            return False
        good = None if saving is None else saving.newest()
        if good is None:
            return False
        factor, batch = rate.factor / 2, progress.batches_done
        self._put(good)
        rate.scale(factor)
        self._told(
            f"went back from batch {batch:,} to {progress.batches_done:,}, lr ÷2 → {rate.lr:.3g}: "
            f"{trouble.reason} ({trouble.where})"
        )
        return True

    def undo(self) -> None:
        """Go back to the state from before the loop was broken on purpose."""
        progress = self._parts.progress
        batch = progress.batches_done
        self._put(self._engine.switching.undone())
        self._told(
            f"undone: back from batch {batch:,} to {progress.batches_done:,}, the loop is mended"
        )

    def _put(self, state: Mapping[str, Any]) -> None:
        parts, engine = self._parts, self._engine
        put_state(parts, state, rewinding=True)
        put_rng(state, parts.training.device)
        progress = parts.progress
        parts.clock.forget_rates(progress.batches_done, progress.samples_done)
        engine.readings.forget()
        engine.judge.forget()
        engine.controller.faults = parts.progress.faults
        if not parts.progress.faults:
            engine.switching.before = None
        if self._saving is not None:
            self._saving.rewound(state)
        self._control.poke()  # a pause goes on from the very first gate

    def _told(self, text: str) -> None:
        self._parts.record.change(self._parts.progress, text, "rewind")
        self._engine.save()  # whoever resumes must not run into it again

    def _asked(self, trouble: Outcome) -> Answer:
        """Hold the run until a person says whether to go back, and how far."""
        engine, mailbox = self._engine, self._engine.mailbox
        engine.trouble, engine.controller.paused = trouble, True
        before = perf_counter()
        step = engine.now[0]
        mailbox.begin()
        engine.publish(State.PAUSED, step, curves=True)
        said: Answer | None = None
        while said is None:
            mailbox.settled = not mailbox.wanted
            self._control.wait()
            said = self._answer()
            engine.tell_notices()
            if mailbox.wanted or not mailbox.settled:
                engine.publish(State.PAUSED, step, curves=mailbox.begin())
        mailbox.settled = False
        engine.trouble, engine.controller.paused = None, False
        self._parts.clock.waited += perf_counter() - before
        return said

    def _answer(self) -> Answer | None:
        engine = self._engine
        for command in self._control.take():
            match command:
                case GoBack():
                    return "back"
                case Undo() if engine.switching.before is not None:
                    return "undo"
                case Stop():
                    return "stop"
                case Note() | Show():
                    engine.controller.apply(command)
                    engine.probes.take_up()
        return None
