"""Builds a run and its directory: a new one, or one that resumes. Knows no terminal."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ... import __version__
from ...core.protocol.rank import PARALLEL, Parallel, this_rank
from ...core.protocol.record_fields import RUN_FORMAT
from ...core.protocol.snapshot import RunLocation
from ...core.protocol.steps import State
from ...core.storage.run_directory import RunDirectory, RunError
from ...presets.errors import RecipeError, printable, reason
from ..terminal.output import complain
from .attach import unkept, unkept_name
from .metadata import describe, info_facts, plan_facts, session_facts, write_plan
from .notify import Notifier, ending
from .options import MOST_RANKS, NOTHING, AsLeft, RunOptions, folder_words
from .plan import FilePlan, Plan

if TYPE_CHECKING:
    from ...core.protocol.listener import Listener
    from ...core.protocol.snapshot import Snapshot
    from ...core.session.recovery import OnNonFinite
    from ...core.session.session import Session
    from ...core.storage.event_file import EventFollower
    from ...core.training.rank_batches import Split
    from ...core.training.ranks import RankGroup
    from ...core.training.training import Training

SHORT: Final = 10.0
"""Seconds; a run that takes no longer would be over before a person has looked at it."""


@dataclass(frozen=True, slots=True)
class ResumeRequest:
    """How an earlier run resumes."""

    meta: Mapping[str, Any]
    """Its run.json."""
    force: bool = False
    """Train from the start where no checkpoint is good."""
    damage: tuple[str, ...] = ()
    """What is wrong with the run's files, a line each."""


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """A batch of an earlier run to go back to."""

    directory: RunDirectory
    """To read only."""
    batch: int
    """Of the whole run, counted from 1."""

    @property
    def headline(self) -> str:
        """What is going on, for a person."""
        return f"going back to batch {self.batch:,} of {self.directory.name}, which stays as it is"


class RunBuilder:
    """One run: what is trained, where it is kept, what it resumes from.

    Args:
        plan: what is trained.
        options: what to keep, among others.
        directory: open, and ours; None keeps nothing.
        resume: how an earlier run resumes; None begins a new one.
        replay: a batch of an earlier run to go back to.
    """

    def __init__(
        self,
        plan: Plan,
        options: RunOptions,
        directory: RunDirectory | None,
        resume: ResumeRequest | None = None,
        replay: ReplayRequest | None = None,
    ) -> None:
        self.plan, self.options, self.directory = plan, options, directory
        self.resume, self.replay = resume, replay
        self._parallel: Parallel = "ddp"
        self._together = 1
        """Batches that are one for several processes: as many as there were in the beginning."""
        self.problem = ""
        """Why nothing is kept, although it should be."""
        self.notifier = Notifier(options.notify)
        self.events: EventFollower | None = None
        self.handed_over = False
        """Another process goes on with it once it is stopped: that is not its end."""
        self.doing = "loading torch"
        """What is being done until there is a session, in a few words. Other threads read it."""

    @classmethod
    def begin(cls, plan: Plan, options: RunOptions) -> RunBuilder:
        """A new run. Where its directory can't be made it runs all the same, and `problem` says so,
        unless a name was asked for.

        Raises:
            RunError: the name is not fit for a run, or taken, or its directory can't be made.
        """
        if this_rank().number:
            options = replace(options, keeps=False)  # the first keeps the run
        self = cls(plan, options, None)
        if not options.keeps:
            return self
        try:
            self.directory = RunDirectory.create(options.folder, options.name, plan.name)
        except RunError as error:
            if options.name or not isinstance(error.__cause__, OSError):
                raise
            self.problem = f"nothing is kept: {error}"
            return self
        with suppress(OSError):  # it is written again before the run begins, or told
            describe(self.directory, plan, options.parallel)
        return self

    @classmethod
    def nowhere(cls, plan: Plan) -> RunBuilder:
        """A new run that leaves nothing behind."""
        return cls(plan, NOTHING, None)

    def again(self) -> RunBuilder:
        """The same from the start, in a directory of its own."""
        if self.replay is not None:
            return RunBuilder(self.plan, self.options, None, replay=self.replay)
        return RunBuilder.begin(self.plan, replace(self.options, name=None))

    @property
    def ranks_before(self) -> int:
        """How many processes have trained the run that is resumed; 1 if that is not known."""
        ranks = self.resume.meta.get("ranks") if self.resume is not None else None
        return ranks if isinstance(ranks, int) and 1 <= ranks <= MOST_RANKS else 1

    @property
    def _asked_parallel(self) -> Parallel:
        """How several processes are to train: as is said, else as the run that is resumed did."""
        before = None if self.resume is None else self.resume.meta.get("parallel")
        asked = self.options.parallel or before
        return next((one for one in PARALLEL if one == asked), "ddp")

    @property
    def starts_paused(self) -> bool:
        """Whether a screen starts it paused: as was asked for, else if it is new and short."""
        if self.options.hold is not None:
            return self.options.hold
        seconds = self.plan.seconds if self.resume is None else None
        return seconds is not None and seconds <= SHORT

    @property
    def lost(self) -> bool:
        """Whether nothing is kept, although it should be."""
        return self.options.keeps and self.directory is None

    @property
    def place(self) -> str:
        """The run's directory, for a person; "" if nothing is kept."""
        return "" if self.directory is None else printable(_short(self.directory.path))

    @property
    def name(self) -> str:
        """The run's name; "" if nothing is kept."""
        return "" if self.directory is None else self.directory.name

    @property
    def resume_command(self) -> str:
        """The command that resumes the run; "" if nothing is kept."""
        return printable(shlex.join(self.resume_words), 1000)

    @property
    def resume_words(self) -> list[str]:
        """The words of that command; none if nothing is kept."""
        if self.directory is None:
            return []
        words = ["fivestep", "resume", self.name]
        if isinstance(self.plan, FilePlan):
            words.append(str(self.plan.run.path))
        return words + folder_words(self.directory.path.parent)

    def session(
        self,
        listener: Listener | None,
        on_nonfinite: OnNonFinite,
        on_break: Literal["pause", "stop"] = "pause",
    ) -> Session:
        """Build the training and everything around it; loads torch.

        Args:
            listener: see `Session`.
            on_nonfinite: where the options leave it open.
            on_break: see `Session`.

        Raises:
            RunError: it has a name that was asked for, and can't be kept.
            RecipeError: it can't be built, or its checkpoint is not good; one line.
                Nothing of an earlier run is changed then, and its lock is released; nothing of a
                new one is left.
        """
        from ...core.protocol.commands import SetFault
        from ...core.protocol.conditions import ConditionError
        from ...core.session.session import Session
        from ...core.session.state import StateError
        from ...core.training.rank_training import train_among
        from ...core.training.unfit import UnfitError

        options = self.options
        if self.replay is not None:
            on_nonfinite = "ignore"  # it is to be looked at
        try:
            ranks, split = self._join()
            training = self.plan.build(partial(setattr, self, "doing"), split)
            if split is not None:
                train_among(training, split, ranks, self._parallel)
            make = partial(
                Session,
                training,
                listener,
                on_nonfinite=options.on_nan or on_nonfinite,
                breakpoints=options.breakpoints,
                on_break=on_break if options.left is None else "pause",
            )
            if self.replay is not None:
                from .starting_point import replay_start

                self.doing = "reading the checkpoint"
                session = make(**replay_start(self.replay.directory, self.replay.batch, training))
            elif self.directory is not None:
                session = self._kept(make, training)
            else:
                session = make() if ranks is None else make(**ranks.from_first({}))
        except BaseException as error:
            self.abandon()
            if isinstance(error, StateError):
                name = self.name if self.replay is None else self.replay.directory.name
                raise RecipeError(f"{name}: {error}") from error
            if isinstance(error, UnfitError):
                plan = self.plan
                called = printable(str(plan.run.path)) if isinstance(plan, FilePlan) else plan.name
                raise RecipeError(f"{called}: {error}; {error.advice}") from error
            if isinstance(error, ConditionError):
                raise RecipeError(f"--break: {error}") from error
            raise
        if not this_rank().number:
            session.at_end.append(partial(self._tell_end, session))
            self._follow_log()
        for fault in options.faults:
            session.send(SetFault(fault, on=True))
        served = self._serve(session)
        if options.left is not None:
            _leave_as_it_was(session, options.left, held=served)
        return session

    def _tell_end(self, session: Session, last: Snapshot) -> None:
        """Tell the person's command how the run ended, and who reads its log that this is all."""
        if self.events is not None:
            self.events.finish()
        if self.handed_over and last.state is State.STOPPED:
            return
        self.notifier.tell(ending(self.plan.name, self.directory, session.info, last))

    def _join(self) -> tuple[RankGroup | None, Split | None]:
        """The processes that train together, and how they share the batches; None for one alone."""
        import torch

        from ...core.training.rank_batches import Split
        from ...core.training.ranks import RankGroup
        from ...core.training.rng import seed_rng

        rank, ranks = this_rank(), None
        together = rank.size
        if self.resume is not None:
            together = self.resume.meta.get("together", 1)
        if self.replay is not None:
            together = self.replay.directory.read_meta()[0].get("together", 1)
        if rank.size > 1:
            self.doing = f"waiting for {rank.size} processes"
            ranks = RankGroup(rank)
            together, self._parallel = ranks.from_first((together, self._asked_parallel))
            seed_rng(ranks.from_first(torch.initial_seed()))  # a file may draw its data
        self._together = together
        if together == rank.size == 1:
            return None, None
        return ranks, Split(rank.number, rank.size, together)

    def _follow_log(self) -> None:
        """Write event files, if that is wanted."""
        named = self.options.tensorboard
        if named is not None and self.directory is not None:
            from ...core.storage.event_file import EventFollower

            self.events = EventFollower(
                self.directory, named, lambda why: complain(f"--tensorboard: {why}")
            )

    def wait(self) -> None:
        """Wait for what is still to be done once the run has ended; a bounded time."""
        self.notifier.wait()
        if self.events is not None:
            self.events.wait()

    def _serve(self, session: Session) -> bool:
        """Let the run be looked at and steered from elsewhere; it trains without, too. Whether that
        can be.
        """
        directory, notes = self.directory, self.plan.notes
        try:
            if this_rank().number:  # only the first is listed, and leads to the others
                session.serve(lambda path: None, RunLocation())
            elif directory is None:
                name = unkept_name(self.plan.name)
                session.serve(unkept(name, self.plan.name), RunLocation(notes=notes, name=name))
            else:
                place = printable(str(directory.path), 1000)
                location = RunLocation(place, self.resume_command, notes=notes)
                session.serve(directory.announce, location)
        except OSError as error:
            if directory is not None:
                directory.announce(reason(error))
            self.problem = self.problem or f"nobody can attach to this run: {reason(error)}"
            return False
        return True

    def abandon(self) -> str:
        """Leave an earlier run as it was, and nothing of a new one, before its first batch; what
        that comes to, in words.
        """
        if self.directory is None:
            return "nothing kept"
        if self.resume is not None:
            self.directory.close()
            return f"{self.name} is as it was"
        self.directory.discard()
        return f"{self.place} stays" if self.directory.path.exists() else "nothing kept"

    def _kept(self, make: Callable[..., Session], training: Training) -> Session:
        """The session with its directory; a new run that nobody named can go without."""
        from ...core.session.checkpoint_shapes import resume_misfit
        from ...core.session.disk_space import short_of_space
        from ...core.storage.persistence import Persistence, Policy
        from .starting_point import Start, start_of

        directory, resume, trained = self.directory, self.resume, plan_facts(self.plan)
        assert directory is not None
        about = {"fivestep": __version__, "run": self.name, "epochs": training.epochs}
        about |= {key: trained.get(key) for key in ("recipe", "file")}
        about["table"] = training.about.table
        start = Start()
        if resume is not None:
            facts = session_facts(training)
            fits = partial(resume_misfit, training)
            self.doing = "reading the checkpoint"
            start = start_of(directory, resume.meta, facts, about, misfit=fits, force=resume.force)
            start = replace(start, notes=(*resume.damage, *start.notes))
        if training.ranks is not None:
            training.ranks.from_first(start.options)
        saving = None
        try:
            if resume is not None and start.state is None:
                directory.metrics.unlink(missing_ok=True)
            policy = Policy(self.options.seconds, self.options.epochs)
            saving = Persistence(directory, policy, about=about)
            if short := short_of_space(training, directory.path, policy):
                start = replace(start, notes=(*start.notes, short))
            session = make(saving=saving, **start.options)
            # Only now is it known that the checkpoint fits: until here all is as it was.
            if start.state is not None:
                saving.resume(start.state)
            directory.clear_outcome()
        except BaseException as error:
            if saving is not None:
                saving.close()
            if start.state is not None and type(error) in _SPOILED:
                text = f"{self.name}: the checkpoint does not fit this run: {error}"
                raise RecipeError(printable(text, 300)) from error
            if not isinstance(error, OSError):
                raise
            if resume is not None:
                text = f"{self.name}: its folder can't be written: {reason(error)}"
                raise RecipeError(text) from error
            unkept = f"{self.place}: {reason(error)}"
            if self.options.name:  # `abandon` follows
                raise RunError(unkept) from error
            self.problem = f"nothing is kept: {unkept}"
            directory.discard()
            self.directory = None
            return make()
        self._write_facts(session, trained, rewrite=bool(start.changes))
        return session

    def _write_facts(self, session: Session, trained: Mapping[str, Any], *, rewrite: bool) -> None:
        """Complete run.json with what only the built run knows, and what is trained from now on."""
        assert self.directory is not None
        facts = session_facts(session.training) | info_facts(session.info) | {"name": self.name}
        facts["together"] = self._together
        try:
            meta, _ = self.directory.read_meta()
            now = {key: trained[key] for key in trained.keys() & {"recipe", "file", "changes"}}
            # The command stays the one that began it.
            meta = {"format": RUN_FORMAT, **trained, **meta, **now}
            if self.resume is None:
                meta["started"] = time.time()  # until now it was built
            else:
                if rewrite:
                    write_plan(self.directory, self.plan)
                at = session.progress.batches_done
                again = {"time": time.time(), "batches_done": at, "fivestep": __version__}
                meta["resumes"] = [*(meta.get("resumes") or ()), again]
            self.directory.write_meta(meta | facts)
        except OSError as error:
            self.problem = f"run.json could not be written: {reason(error)}"


def _leave_as_it_was(session: Session, left: AsLeft, *, held: bool) -> None:
    """Have a run go on as the screen had it that was left. Only where somebody can attach to it is
    it held.
    """
    from ...core.protocol.commands import Pause, SetSpeed, Stop

    if left.ends:
        session.send(Stop(after="epoch"))
    if held and left.speed is not None:
        session.send(SetSpeed(left.speed))
    if held and left.paused:
        session.send(Pause())


_SPOILED: Final = frozenset(
    (TypeError, KeyError, IndexError, AttributeError, ValueError, OverflowError, ZeroDivisionError)
)
"""What comes of a value in a checkpoint that no run has written."""


def _short(path: Path) -> str:
    """Relative to here, where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):  # not in the working folder, or that was deleted
        return str(path)
