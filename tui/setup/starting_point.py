"""The checkpoint that a run resumes from, and what has changed since it was saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...core.storage.checkpoint import CheckpointError, CheckpointStore
from ...core.storage.run_directory import RunDirectory
from ...presets.errors import RecipeError, printable, reason
from ..render.format import counted
from .metadata import DATA, changed, changed_files
from .resume_refusals import checkpoint_names, no_checkpoint, too_few

if TYPE_CHECKING:
    from ...core.training.training import Training


@dataclass(frozen=True, slots=True)
class Start:
    """Where a run begins: anew, or from a checkpoint."""

    state: Mapping[str, Any] | None = None
    changes: Mapping[str, str] = field(default_factory=dict)
    """How the recipe differs from the checkpoint's, by key."""
    notes: tuple[str, ...] = ()
    """What a person has to know, a line each."""
    reschedule: bool = False
    """Its schedule may be another one than it was; see `session.state.put_state`."""

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of `Session` that say so."""
        return {
            "state": self.state,
            "reschedule": self.reschedule,
            "restart_epoch": any(key.split(".")[0] in DATA for key in self.changes),
            "notes": self.notes,
        }


def start_of(
    directory: RunDirectory,
    meta: Mapping[str, Any],
    facts: Mapping[str, Any],
    about: Mapping[str, Any],
    *,
    force: bool,
    misfit: Callable[[Mapping[str, Any]], str],
) -> Start:
    """Where an earlier run resumes. Changes nothing on the disk.

    Args:
        directory: the run's.
        meta: its run.json.
        facts: `metadata.session_facts` of what is to run now.
        about: what is to be trained now; compared with what the checkpoint says of itself.
        misfit: why a state can't be this training's; "" if it can.
        force: train from the start where no checkpoint is good.

    Raises:
        RecipeError: it can't be resumed; one line.
    """

    def unfit(state: Mapping[str, Any]) -> str:
        then = state.get("about")
        then = then if isinstance(then, dict) else {}
        recipe = then.get("recipe") or {}
        if not all(isinstance(one, dict) for one in (recipe, then.get("file") or {})):
            return "it does not say what it is of"
        # A person who has changed the recipe is told what does not fit, and chooses.
        return "" if changed(recipe, about["recipe"] or {}) else misfit(state)

    checkpoint_names(directory)
    try:
        loaded = CheckpointStore(directory.checkpoints).newest(unfit)
    except CheckpointError as error:
        if force:
            return Start(notes=("no checkpoint: training from the start",))
        raise no_checkpoint(directory, str(error)) from error
    at, then = (loaded.state.get(key) for key in ("progress", "about"))
    if not isinstance(at, dict) or not isinstance(then, dict):
        raise RecipeError(f"{directory.name}: {loaded.path.name} is no checkpoint of a run")
    if (at["epoch"], bool(at["batch"])) > (about["epochs"], False):
        part = f" and part of epoch {at['epoch'] + 1}" if at["batch"] else ""
        raise too_few(directory, counted(at["epoch"], "epoch") + part, about["epochs"])
    changes = changed(then.get("recipe") or {}, about["recipe"] or {})
    passed = tuple(f"passed over a damaged checkpoint: {one}" for one in loaded.skipped)
    told = _changes(changes, then, about)
    notes = (*passed, *_differences(meta, facts), *told)
    moves = len(told) > len(changes.keys() & {"early_stop", "min_delta"})
    return Start(loaded.state, changes, notes, reschedule=moves)


def replay_start(directory: RunDirectory, batch: int, training: Training) -> dict[str, Any]:
    """The arguments of `Session` that go back to one batch of an earlier run: from the last good
    checkpoint before it, or from the beginning. Changes nothing on the disk.

    Raises:
        RecipeError: the run's log can't be read.
    """
    from ...core.session.checkpoint_shapes import resume_misfit
    from ...core.session.replay import first_time

    try:
        then = first_time(directory.metrics, directory.events, batch)
    except OSError as error:
        raise RecipeError(f"{directory.name}: its log can't be read: {reason(error)}") from error
    later = "it is of a later batch, or lacks gradients that were left there"

    def unfit(state: Mapping[str, Any]) -> str:
        progress = state.get("progress")
        done = progress.get("batches_done") if isinstance(progress, dict) else None
        # Without zero_grad the next batch adds to gradients that a healthy loop needs no more.
        lacks = done in then.faults and "gradients" not in state
        late = isinstance(done, int) and done >= batch
        return later if late or lacks else resume_misfit(training, state)

    state: Mapping[str, Any] | None = None
    passed: tuple[str, ...] = ()
    try:
        loaded = CheckpointStore(directory.checkpoints).newest(unfit)
        state, passed = loaded.state, loaded.skipped
    except CheckpointError as error:
        passed = tuple(str(error).split("; ")) if ".pt: " in str(error) else ()
    notes = tuple(f"passed over a checkpoint: {one}" for one in passed if later not in one)
    return {"state": state, "notes": notes, "replay": (then, batch)}


def _differences(meta: Mapping[str, Any], facts: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs from when the run began, and may change the numbers' last bits."""
    then = {**meta, **(meta.get("versions") or {})}
    where = {key: facts.get(key) for key in ("device", "threads", "ranks", "parallel")}
    now = {**where, **facts["versions"]}
    differences = [
        f"{key} {then[key]} → {value}"
        for key, value in now.items()
        if value is not None and then.get(key) not in (None, value)
    ]
    if not differences:
        return ()
    return (f"not as it was before, bits may differ: {printable(', '.join(differences), 300)}",)


def _changes(
    changes: Mapping[str, str], then: Mapping[str, Any], now: Mapping[str, Any]
) -> tuple[str, ...]:
    """What changed since the checkpoint, for a person."""
    notes = [
        f"recipe changed: {printable(one, 300)}" for key, one in changes.items() if key != "epochs"
    ]
    own = now["file"]
    notes += [f"{one} was changed since" for one in changed_files(then.get("file"), own)]
    before, epochs = then.get("epochs"), now["epochs"]
    if isinstance(before, int) and before != epochs:
        schedule = "its own" if own else now["recipe"].get("scheduler.name", "none")
        notes.append(_longer(before, epochs, schedule))
    return tuple(notes)


def _longer(before: int, now: int, schedule: str) -> str:
    """What another number of epochs means for the learning rate."""
    text = f"epochs {before} → {now}"
    if schedule in ("cosine", "onecycle", "warmup-cosine"):
        return (
            f"{text}; {schedule} now reaches its end in epoch {now}: the lr is what a run of "
            f"{counted(now, 'epoch')} would have here"
        )
    if schedule == "its own":
        return (
            f"{text}; the file's own schedule, if there is one, goes on from where it was, or from "
            f"where it would be if training() makes it for {now}"
        )
    return text
