"""What a run has learned, to be judged: the weights of its best or its last checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.storage.run_directory import RunDirectory, RunError
from ...core.storage.run_index import newest
from ...presets.errors import RecipeError, printable
from ...presets.recipe import load
from ..setup.plan import Plan, RecipePlan

if TYPE_CHECKING:
    from ...core.training.training import Training


class Trained:
    """A run that is looked at; another process may be training it.

    Args:
        folder: where runs are kept.
        name: of the run, or the path of its directory; "" takes the last one.
        last: its newest weights instead of its best ones.

    Raises:
        RunError: there is no such run.
    """

    def __init__(self, folder: Path, name: str, *, last: bool) -> None:
        found = name or newest(folder)
        if found is None:
            raise RunError(f"there is no run in {printable(str(folder))}")
        self._directory = RunDirectory.look(folder, found)
        self._last = last

    def plan(self) -> Plan:
        """What the run trained.

        Raises:
            RecipeError: it came from a Python file, which has to be named, or its recipe is bad.
        """
        directory = self._directory
        if directory.read_recipe() is None:
            raise RecipeError(
                f"{directory.name} came from a Python file: name it too, fivestep eval FILE --run "
                f"{directory.name}"
            )
        return RecipePlan(load(str(directory.recipe)))

    def give(self, training: Training) -> str:
        """Put the weights into a training of the same make; says in a line which they are.

        Raises:
            RecipeError: there are none, or they are another model's.
        """
        from ...core.session.state import StateError, put_model
        from ...core.storage.checkpoint import CheckpointError, Store

        store, notes = Store(self._directory.checkpoints), ""
        try:
            state: dict[str, Any] | None = None if self._last else store.best()
        except CheckpointError as error:
            state, notes = None, f" (no best one: {error})"
        try:
            if state is None:
                loaded = store.newest()
                state = loaded.state
                notes += "".join(f" (passed over {one})" for one in loaded.skipped)
            put_model(training.model, state)
        except (CheckpointError, StateError) as error:
            raise RecipeError(f"{self._directory.name}: {error}") from error
        at = state["progress"]
        which = "last" if self._last or notes else "best"
        return (
            f"the weights of run {self._directory.name}, {which} checkpoint: "
            f"{at['epoch']} epochs, batch {at['batches_done']:,}{notes}"
        )
