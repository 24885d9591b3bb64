"""The ways back of a run: to the last good checkpoint, and to before it was broken on purpose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Literal

from ..protocol.faults import Fault, Undone
from ..protocol.snapshot import Outcome
from ..storage.persistence import Persistence
from .engine import Engine
from .state import put_rng, put_state, state_of_rank

OnNonFinite = Literal["stop", "rollback", "ask", "ignore"]
REWINDS: Final = 3
"""How often a run goes back because of one batch."""


class Recovery:
    """Puts a run back to an earlier state of its own. Only the training thread touches it."""

    def __init__(
        self, engine: Engine, saving: Persistence | None, on_nonfinite: OnNonFinite
    ) -> None:
        self._engine, self._saving, self._on_nonfinite = engine, saving, on_nonfinite
        self._rewinds: Counter[int] = Counter()

    def goes_back(self, trouble: Outcome) -> bool:
        """Return to the last good checkpoint with half the learning rate, if that is wanted, or to
        where a person says.

        Args:
            trouble: what a NaN or an infinity would end the run with.

        Returns:
            Whether the run can go on.
        """
        run, saving, ranks = self._engine.run, self._saving, self._engine.run.training.ranks
        progress, rate = run.progress, run.rate
        keeps = saving is not None
        if ranks is not None:
            keeps = ranks.from_first(keeps)
        self._rewinds[progress.batches_done] += 1
        asks = self._on_nonfinite == "ask"
        broken = self._engine.controller.healthy is not None
        if self._rewinds[progress.batches_done] > REWINDS and not (asks and broken):
            return False
        if asks and (keeps or broken):
            way_on = self._engine.ask(trouble)
            if way_on == "stop":
                return False
            if way_on == "undo" or not keeps:
                self.undo()
                return True
        elif self._on_nonfinite != "rollback":
            return False
        good = None if saving is None else saving.newest()
        if ranks is not None:
            good = ranks.from_first(good)
        if good is None:
            return False
        factor, batch = rate.factor / 2, progress.batches_done
        self._put(good)
        rate.scale(factor)
        self._record(
            f"went back from batch {batch:,} to {progress.batches_done:,}, lr ÷2 → {rate.text}: "
            f"{trouble.reason} ({trouble.where})"
        )
        return True

    def undo(self) -> None:
        """Go back to the state from before the loop was broken on purpose."""
        controller, progress = self._engine.controller, self._engine.run.progress
        state, batch, ever = controller.healthy, progress.batches_done, progress.faults_so_far
        assert state is not None
        controller.way_on, controller.faults = None, frozenset()
        self._put(state)
        progress.faults_so_far = tuple(Fault(name) for name in state["switched"])
        gone = tuple(fault for fault in ever if fault not in progress.faults_so_far)
        if gone and batch > progress.batches_done:
            first = progress.batches_done + 1
            progress.undone = (*progress.undone, Undone(gone, first, batch))
        back = f"back from batch {batch:,} to {progress.batches_done:,}"
        if batch == progress.batches_done:
            back = "no batch was trained meanwhile"
        self._record(f"undone: {back}, the loop is mended")

    def _put(self, state: Mapping[str, Any]) -> None:
        engine, run = self._engine, self._engine.run
        faults = run.progress.faults
        state = state_of_rank(state, run.training)
        put_state(run, state, rewinding=True)
        put_rng(state, run.training.device)
        run.clock.forget_rates(run.progress.batches_done, run.progress.samples_done)
        run.progress.forget_batch()
        engine.readings.forget()
        engine.probes.forget()
        engine.validation.forget()
        engine.controller.went_back(faults)
        if self._saving is not None:
            self._saving.rewound(state)
        engine.mailbox.poke()  # the first gate does what still waits

    def _record(self, text: str) -> None:
        run = self._engine.run
        run.recorder.change(run.progress, text, "rewind", faults=run.progress.faults)
        self._engine.save()  # a resume must not run into it again
