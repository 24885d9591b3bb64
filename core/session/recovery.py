"""The ways back: to the last good checkpoint, to before the loop was broken on purpose, and to
where nobody had looked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Final, Literal

from ..protocol.commands import Control, GoBack, Note, Show, Stop, Undo
from ..protocol.snapshot import Outcome
from ..protocol.steps import State
from ..storage.persistence import Saving
from .engine import Driver
from .state import Parts, put_rng, put_state

OnNonFinite = Literal["stop", "rollback", "ask", "ignore"]
Answer = Literal["back", "undo", "stop"]
REWINDS: Final = 3
"""How often a run goes back because of one batch."""


class Rescue:
    """Puts a run back to an earlier state of its own. Only the training thread touches it."""

    def __init__(
        self,
        parts: Parts,
        driver: Driver,
        control: Control,
        saving: Saving | None,
        on_nonfinite: OnNonFinite,
    ) -> None:
        self._parts, self._driver, self._control, self._saving = parts, driver, control, saving
        self._on_nonfinite = on_nonfinite
        self._rewinds: Counter[int] = Counter()

    def goes_back(self, trouble: Outcome) -> bool:
        """Return to the last good checkpoint with half the learning rate, if that is wanted.

        Args:
            trouble: what a NaN or an infinity would end the run with.

        Returns:
            Whether the run can go on.
        """
        at, rate, saving = self._parts.progress, self._parts.rate, self._saving
        self._rewinds[at.batches_done] += 1
        asks, broken = self._on_nonfinite == "ask", self._driver.switching.before is not None
        if self._rewinds[at.batches_done] > REWINDS and not (asks and broken):
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
        factor, batch = rate.factor / 2, at.batches_done
        self._put(good)
        rate.scale(factor)
        self._told(
            f"went back from batch {batch:,} to {at.batches_done:,}, lr ÷2 → {rate.lr:.3g}: "
            f"{trouble.reason} ({trouble.where})"
        )
        return True

    def looks_again(self) -> bool:
        """Return, unseen, to the last good state in memory, for a look at every batch since.

        Returns:
            Whether there was one: not if every batch was looked at already.
        """
        state = self._driver.hindsight.go_back()
        if state is None:
            return False
        self._put_parts(state)
        if self._saving is not None:
            self._saving.log.restore(state["log"], rewinding=True)
        return True

    def undo(self) -> None:
        """Go back to the state from before the loop was broken on purpose."""
        at = self._parts.progress
        batch = at.batches_done
        self._put(self._driver.switching.undone())
        self._told(f"undone: back from batch {batch:,} to {at.batches_done:,}, the loop is mended")

    def _put(self, state: Mapping[str, Any]) -> None:
        self._put_parts(state)
        self._driver.hindsight.forget()
        if self._saving is not None:
            self._saving.rewound(state)

    def _put_parts(self, state: Mapping[str, Any]) -> None:
        parts, driver = self._parts, self._driver
        put_state(parts, state, rewinding=True)
        put_rng(state, parts.training.device)
        at = parts.progress
        parts.clock.forget_rates(at.batches_done, at.samples_done)
        driver.gauges.forget()
        driver.judge.forget()
        driver.steering.switches = parts.progress.switches
        if not parts.progress.switches:
            driver.switching.before = None
        self._control.poke()  # a pause goes on from the very first gate

    def _told(self, text: str) -> None:
        self._parts.record.change(self._parts.progress, text, "rewind")
        self._driver.save()  # whoever resumes must not run into it again

    def _asked(self, trouble: Outcome) -> Answer:
        """Hold the run until a person says whether to go back, and how far."""
        driver, mailbox = self._driver, self._driver.mailbox
        driver.trouble, driver.steering.paused = trouble, True
        before = perf_counter()
        step = driver.now[0]
        mailbox.begin()
        driver.publish(State.PAUSED, step, curves=True)
        said: Answer | None = None
        while said is None:
            mailbox.settled = not mailbox.wanted
            self._control.wait()
            said = self._answer()
            driver.tell_notices()
            if mailbox.wanted or not mailbox.settled:
                driver.publish(State.PAUSED, step, curves=mailbox.begin())
        mailbox.settled = False
        driver.trouble, driver.steering.paused = None, False
        self._parts.clock.waited += perf_counter() - before
        return said

    def _answer(self) -> Answer | None:
        driver = self._driver
        for command in self._control.take():
            match command:
                case GoBack():
                    return "back"
                case Undo() if driver.switching.before is not None:
                    return "undo"
                case Stop():
                    return "stop"
                case Note() | Show():
                    driver.steering.apply(command)
                    driver.lookout.take_up()
        return None
