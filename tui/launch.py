"""A run from its recipe: loading while torch and the data come, then the session itself."""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING

from ..core.control import Command, Stop
from ..core.snapshot import Outcome, RunInfo, Snapshot, State
from ..core.steps import Step
from ..core.tasks import Task
from ..presets.recipe import Recipe, RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.device import DeviceReading
    from ..core.session import Session


class Launch:
    """A Source that can be looked at before torch is there.

    Until the session exists `latest` is None, commands wait, and `info` is what the recipe says
    of itself; building the run and training it happen in one thread of this object's own.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.session: Session | None = None
        self.probe: Callable[[], DeviceReading] | None = None
        """Takes readings of the device, once it is known."""
        self.full_loop = recipe.accumulate > 1 or recipe.clip_norm != "off"
        """The loop with accumulation and clipping is the one that runs."""
        self._preview = _preview(recipe)
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
            from ..core.device import DeviceProbe
            from ..core.session import Session
            from ..presets.build import build

            session = Session(build(self.recipe))
            probe = DeviceProbe(session.training.device)
        except RecipeError as error:
            self._failed = Outcome(
                State.FAILED, str(error), "building the run", "n goes back to the settings"
            )
            return
        except Exception as error:
            text = "".join(traceback.format_exception(error))
            reason = f"{type(error).__name__}: {error}".split("\n", 1)[0]
            self._failed = Outcome(State.FAILED, reason, "building the run", "", text)
            return
        with self._lock:
            self.probe = probe.read
            for command in self._early:
                session.send(command)
            self.session = session
        session.run()

    @property
    def info(self) -> RunInfo:
        """What does not change while the run goes on; fuller once it is built."""
        return self._preview if self.session is None else self.session.info

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None while it goes on."""
        return self._failed if self.session is None else self.session.outcome

    def now(self) -> tuple[Step, float] | None:
        """The phase running at this very moment; None while loading."""
        return None if self.session is None else self.session.now()

    def latest(self, *, curves: bool = False) -> Snapshot | None:
        """The newest picture; None while loading."""
        return None if self.session is None else self.session.latest(curves=curves)

    def send(self, command: Command) -> None:
        """Steer the run; what is sent while it loads takes effect when it starts."""
        with self._lock:
            if self.session is None:
                self._early.append(command)
            else:
                self.session.send(command)

    def leave(self, patience: float) -> bool:
        """Stop after the batch under way and wait for it, for at most `patience` seconds.

        Returns:
            Whether the run came to its end; a step that takes longer is given up.
        """
        if not self._thread.is_alive():
            return True
        if self.session is None:
            return False  # loading: there is nothing yet that could be lost
        self.send(Stop("stopped by hand"))
        self._thread.join(patience)
        return not self._thread.is_alive()


def _preview(recipe: Recipe) -> RunInfo:
    """What can be said of the run before it is built."""
    task = Task(recipe.task)
    expect = recipe.expect
    return RunInfo(
        name=recipe.name,
        data=recipe.dataset.name,
        model=recipe.model.name,
        parameters=(expect.parameters or 0) if expect is not None else 0,
        task=task.name,
        metric_name=task.metric_name,
        higher_is_better=task.higher_is_better,
        optimizer=recipe.optimizer.name,
        scheduler=recipe.scheduler.name,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        batches_per_epoch=None,
        validation_batches=None,
        device=recipe.device,
        threads=recipe.threads if isinstance(recipe.threads, int) else 0,
        seed=recipe.seed,
    )
