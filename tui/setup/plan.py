"""What is to be trained: a recipe or a Python file, described before it is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.protocol.snapshot import RunInfo
from ...core.protocol.steps import Task
from ...presets.errors import printable
from ...presets.file_settings import said
from ..render.format import counted
from ..terminal.imports import load_compiler

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...core.training.rank_batches import Split
    from ...core.training.training import Training
    from ...presets.recipe import Recipe
    from ...presets.user_file import OwnRun

    Doing = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RecipePlan:
    """The run of a recipe."""

    recipe: Recipe

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.recipe.name

    @property
    def headline(self) -> str:
        """What is going to run, in a line."""
        recipe = self.recipe
        return (
            f"{recipe.name}: {recipe.model.name} on {recipe.dataset.name}, "
            f"{counted(recipe.epochs, 'epoch')}, batch size {recipe.batch_size}, "
            f"{recipe.optimizer.name} lr {recipe.optimizer.options['lr']:g}, seed {recipe.seed}"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was understood of the data, in words; a line each."""
        return self.recipe.notes

    @property
    def seconds(self) -> float | None:
        """About how long it takes; None where nobody knows."""
        return self.recipe.seconds

    @property
    def preview(self) -> RunInfo:
        """What can be said of the run before it is built."""
        recipe = self.recipe
        task, expect = Task(recipe.task), recipe.expect
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
            amp=None if recipe.amp == "off" else recipe.amp,
            compile=recipe.compile,
            early_stop=recipe.early_stop if isinstance(recipe.early_stop, int) else None,
            min_delta=recipe.min_delta,
            clips=recipe.clip_norm != "off" or recipe.amp == "fp16",
        )

    def build(self, doing: Doing = lambda what: None, split: Split | None = None) -> Training:
        """Everything the run is made of, anew each time.

        Args:
            doing: is told what is being done, in a few words.
            split: how several processes share the batches, where they do.

        Raises:
            RecipeError: it can't be built; one line.
        """
        from ...core.training.fused import OPTIMIZERS
        from ...presets.build import build

        if self.recipe.optimizer.name not in OPTIMIZERS:
            doing("loading torch's compiler")
            load_compiler()
        return build(self.recipe, doing, split)


@dataclass(frozen=True, slots=True)
class FilePlan:
    """The run of a person's own Python file."""

    run: OwnRun

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def headline(self) -> str:
        changes = ", ".join(f"{key} {said(value)}" for key, value in self.run.changes.items())
        with_them = f" with {changes}" if changes else ""
        return f"{self.name}: what training() in {self.run.path} gives{with_them}"

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    @property
    def seconds(self) -> float | None:
        return None

    @property
    def preview(self) -> RunInfo:
        task = Task()
        return RunInfo(
            name=self.name,
            data=str(self.run.path),
            model="",
            parameters=0,
            task=task.name,
            metric_name=task.metric_name,
            higher_is_better=task.higher_is_better,
            optimizer="",
            scheduler=None,
            batch_size=None,
            epochs=self.run.number("epochs") or 1,
            batches_per_epoch=None,
            validation_batches=None,
            device="",
            threads=self.run.number("threads") or 0,
            seed=self.run.number("seed"),
        )

    def build(self, doing: Doing = lambda what: None, split: Split | None = None) -> Training:
        doing("loading torch's compiler")
        load_compiler()
        doing(f"running {printable(str(self.run.path))}")
        return self.run.build()


Plan = RecipePlan | FilePlan
"""A run that is still to be built. Needs no torch until it is."""
