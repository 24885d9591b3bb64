"""What each command of the table does on the watch screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.message import Message
from textual.screen import ModalScreen, Screen
from textual.widgets import Input

from ...core.protocol import commands
from ...core.protocol.at_hand import AT_HAND, BATCH, EPOCHS, PARAMETERS
from ...core.protocol.diagnosis import Verdict
from ...core.protocol.faults import Fault
from ...core.protocol.snapshot import Snapshot
from ...core.protocol.steps import INSIDE_BATCH, State, Step, Task
from ..render.keymap import BY_ID, Situation, for_key, keyed, why_not
from ..setup.launch import Source
from ..widgets.messages import MessageLog
from ..widgets.theme import DARK, LIGHT
from .break_loop import BreakItScreen
from .breakpoint_dialog import BreakpointsScreen
from .dialogs import AskStop, FailureScreen, HelpScreen, StopAnswer, VerdictsScreen
from .layout import Pages, Panels
from .script_input import ScriptInput

if TYPE_CHECKING:
    from ...core.serving.client import RemoteRun
    from ...core.storage.replayed_run import ReplayedRun
    from ..terminal.script_process import ScriptProcess


class Again(Message, namespace="watch_screen"):
    """Run the same preset once more."""


class Another(Message, namespace="watch_screen"):
    """Choose another preset."""


class Detach(Message, namespace="watch_screen"):
    """Leave the run to the background."""


class Quit(Message, namespace="watch_screen"):
    """Leave; the run has ended or has been asked to stop."""


class Actions:
    """Keys, palette, footer and mouse all end in `perform`.

    Args:
        screen: dialogs are pushed above it, messages to the app posted from it.
        kept: the run is kept on the disk.
        attached: the source, where another process trains it.
        script: that process, where it was started for this screen.
        files: the run is read from its files, and not asked for anything.
        replay: the source, where any batch of it can be shown.
        look_soon: called when a command was sent, so that its effect is seen at once.
        redraw: called after every command.
    """

    def __init__(
        self,
        screen: Screen[None],
        source: Source,
        log: MessageLog,
        panels: Panels,
        pages: Pages,
        *,
        kept: bool,
        attached: RemoteRun | None = None,
        script: ScriptProcess | None = None,
        files: bool = False,
        replay: ReplayedRun | None = None,
        look_soon: Callable[[], None],
        redraw: Callable[[], object],
        ascii: bool,
    ) -> None:
        self._screen, self._source, self._log = screen, source, log
        self._panels, self._pages, self._kept = panels, pages, kept
        self._attached, self._script, self._files = attached, script, files
        self._replay = replay
        self._look_soon, self._redraw, self._ascii = look_soon, redraw, ascii
        self.snapshot: Snapshot | None = None
        self._lr_factor: float | None = None
        """As asked for last, so that quick presses add up; None is as the run has it."""
        self._speed: float | str | None = "unset"
        """Likewise; None is full speed."""
        self._faults: frozenset[Fault] | None = None
        """The faults as asked for, until the run has them so."""
        self._commands = self._to_the_run() | self._to_the_screen()
        if replay is not None:
            self._commands |= _to_the_replay(replay)

    def _to_the_run(self) -> dict[str, Callable[[], None]]:
        """What asks something of the run, or of the app about it."""
        return {
            "pause": partial(self.send, commands.Pause()),
            "resume": partial(self.send, commands.Resume()),
            "step": partial(self.send, commands.Advance("phase")),
            "batch": partial(self.send, commands.Advance("batch")),
            "epoch": partial(self.send, commands.Advance("epoch")),
            "slower": partial(self._change_speed, -1),
            "faster": partial(self._change_speed, 1),
            "lr_up": partial(self._scale_lr, 2.0),
            "lr_down": partial(self._scale_lr, 0.5),
            "validate": partial(self.send, commands.Validate()),
            "save": self._save,
            "go_back": self._go_back,
            "give_up": partial(self.send, commands.Stop()),
            "stop": self._ask_stop,
            "leave": self._ask_stop,
            "quit": partial(self._post, Quit),
            "leave_at_once": partial(self._run_by_app, "leave_at_once"),
            "shell": partial(self._run_by_app, "suspend_process"),
            "again": partial(self._post, Again),
            "another": partial(self._post, Another),
            "detach": self._detach,
            "take_over": self._take_over,
            "answer": self._answer_script,
            "break_it": self._break_it,
            "undo": self._undo,
            "breakpoints": self._breakpoints,
            "verdicts": self._show_verdicts,
            "traceback": self._traceback,
            "help": self._help,
            "theme": self._change_theme,
        }

    def _to_the_screen(self) -> dict[str, Callable[[], None]]:
        """What changes only what is seen."""
        panels, pages = self._panels, self._pages
        return {
            "next_step": partial(panels.steps.select, 1),
            "previous_step": partial(panels.steps.select, -1),
            "follow": self._follow,
            "inside": pages.next_page,
            "full": pages.fill,
            "next_full": partial(pages.fill_next, 1),
            "previous_full": partial(pages.fill_next, -1),
            "restore": pages.restore,
            "source": panels.code.toggle_source,
            "spread": panels.inside.next_spread,
            "picture": self._next_view,
            "batch_content": partial(pages.toggle_view, BATCH),
            "parameters": partial(pages.toggle_view, PARAMETERS),
            "epochs": partial(pages.toggle_view, EPOCHS),
            "window": panels.curves.toggle_window,
            "log": panels.curves.toggle_log,
            "smooth": panels.curves.next_smoothing,
            "metric": panels.curves.next_metric,
            "messages": pages.toggle_messages,
            "warning": pages.open_messages,
            "search": self._search,
            "back": partial(self._scroll, -1),
            "ahead": partial(self._scroll, 1),
        }

    @property
    def situation(self) -> Situation:
        """What decides which commands apply."""
        screen, panels, s = self._screen, self._panels, self.snapshot
        outcome = self._source.outcome
        trouble = s.trouble if s is not None and outcome is None else None
        current = outcome or s
        return Situation(
            current.state if current is not None else State.LOADING,
            validation=self._source.info.validates,
            traceback=any(one is not None and one.traceback for one in (outcome, trouble)),
            selected=panels.steps.selected is not None,
            searching=bool(panels.messages.search)
            or screen.has_class("-messages")
            or self._pages.covers
            or self._pages.full is not None
            or isinstance(screen.focused, Input),
            narrow=screen.has_class("-narrow"),
            warned=panels.messages.warned,
            kept=self._kept,
            trouble=trouble is not None,
            leaving=getattr(screen.app, "leaving", False),
            inside=self._pages.layers_are_seen,
            full=self._pages.full is not None,
            code=self._pages.code_is_seen,
            broken=s is not None and (s.undo or bool(self.faults)),
            attached=self._attached is not None or self._files,
            steers=not self._files and (self._attached is None or not self._attached.steerer),
            files=self._files,
            alone=not panels.ranks.there,
            script=self._script is not None and self._script.exit_code is None,
            foreign=self._source.info.foreign,
            replay=self._replay is not None,
        )

    @property
    def faults(self) -> frozenset[Fault]:
        """The faults as they are wanted, whether the run has them so already or not."""
        if self._faults is not None:
            return self._faults
        return frozenset(self.snapshot.faults if self.snapshot else ())

    def take(self, snapshot: Snapshot) -> None:
        """A new picture of the run: what was asked for may have come."""
        self.snapshot = snapshot
        if self._faults is not None and (
            snapshot.trouble is not None or frozenset(snapshot.faults) == self._faults
        ):
            self._faults = self._lr_factor = None  # a fault may have changed the factor

    def press(self, key: str) -> None:
        situation, app = self.situation, self._screen.app
        command = for_key(key, situation)
        app.clear_notifications()
        if command is not None:
            self.perform(command.id)
        elif reason := why_not(key, situation):
            app.notify(reason, timeout=3)

    def perform(self, command: str) -> None:
        """Run a command of the table, if it applies now."""
        if BY_ID[command].when(self.situation):
            self._commands[command]()
            if self._replay is not None:
                self._look_soon()
            self._redraw()

    def send(self, command: commands.Command) -> None:
        """Ask the run for something, and look soon what came of it."""
        self._source.send(command)
        self._look_soon()

    def _post(self, message: type[Message]) -> None:
        self._screen.post_message(message())

    def _open(self, dialog: ModalScreen[None]) -> None:
        self._screen.app.push_screen(dialog)

    # Steering.

    def _save(self) -> None:
        s = self.snapshot
        if s is not None and s.state is State.PAUSED and s.step in INSIDE_BATCH:
            self._log.add("a checkpoint is saved at the end of this batch")
        self.send(commands.Save())

    def _go_back(self) -> None:
        self._lr_factor = None  # it will be another one
        self.send(commands.GoBack())

    def _change_speed(self, offset: int) -> None:
        speed = self._speed
        if speed == "unset":
            speed = self.snapshot.speed if self.snapshot else None
        at = commands.SPEEDS.index(speed) if speed in commands.SPEEDS else len(commands.SPEEDS) - 1
        self._speed = commands.SPEEDS[min(len(commands.SPEEDS) - 1, max(0, at + offset))]
        if self._speed != speed:
            self.send(commands.SetSpeed(self._speed))

    def _scale_lr(self, by: float) -> None:
        factor = self._lr_factor
        if factor is None:
            factor = self.snapshot.lr_factor if self.snapshot else 1.0
        self._lr_factor = min(2.0**40, max(2.0**-40, factor * by))
        self.send(commands.ScaleLR(self._lr_factor))

    def _ask_stop(self) -> None:
        stopping = self.snapshot.stopping if self.snapshot else None
        ask = AskStop(
            stopping=stopping,
            attached=self._attached is not None,
            script=self._script is not None,
            steers=self.situation.steers,
            kept=self._kept and not self._panels.ranks.there,
            ascii=self._ascii,
        )
        self._screen.app.push_screen(ask, self._answered)

    def _answered(self, answer: StopAnswer | None) -> None:
        if self._attached is not None and answer == "leave":
            self._post(Quit)
            return
        if answer == "detach":
            self._detach()
        elif answer in ("batch", "leave"):
            self.send(commands.Stop("stopped by hand", after="batch"))
        elif answer == "epoch":
            self.send(commands.Stop("stopped by hand", after="epoch"))
        elif self.snapshot is not None and self.snapshot.stopping and self.situation.steers:
            self.send(commands.KeepGoing())
        if answer == "leave":
            self._post(Quit)

    def _detach(self) -> None:
        self._post(Detach if self._attached is None else Quit)

    def _run_by_app(self, action: str) -> None:
        self._screen.call_later(self._screen.app.run_action, action)

    def _answer_script(self) -> None:
        if self._script is not None:
            self._open(ScriptInput(self._script))

    def _take_over(self) -> None:
        if self._attached is not None:
            self._attached.take_over()

    # Faults and breakpoints.

    def _break_it(self) -> None:
        self._open(
            BreakItScreen(
                lambda: self.snapshot,
                lambda: self.faults,
                self._toggle_fault,
                lambda: self.perform("undo"),
                ascii=self._ascii,
            )
        )

    def _toggle_fault(self, fault: Fault) -> None:
        """Turn a fault on or off, from the next batch on."""
        if self.situation.live:
            self._faults = self.faults ^ {fault}
            self._lr_factor = None
            self.send(commands.SetFault(fault, fault in self._faults))
            self._redraw()

    def _undo(self) -> None:
        s, faults = self.snapshot, self.faults
        self._faults, self._lr_factor = frozenset(), None
        if s is None or not s.undo:  # nothing has come of it yet, or an earlier session broke it
            for fault in sorted(faults):
                self.send(commands.SetFault(fault, False))
            return
        self.send(commands.Undo())

    def _breakpoints(self) -> None:
        s = self.snapshot
        reported = [name for name, _ in s.metrics] if s else []
        metrics = dict.fromkeys([*Task(self._source.info.task).metric_names, *reported])
        self._open(
            BreakpointsScreen(
                s.breakpoints if s else (),
                tuple(metrics),
                lambda conditions: self.send(commands.SetBreakpoints(conditions)),
                ascii=self._ascii,
            )
        )

    # What is shown.

    def _next_view(self) -> None:
        """The next picture of what the model knows; after the last one, none."""
        view, inside = self._pages.view, self.snapshot.inside if self.snapshot else None
        names = [name for name, _ in inside.views] if inside else []
        shown = inside.view if inside and view == "" else view
        if view is None or view in AT_HAND:
            self._pages.show_view("")
        elif not self._pages.view_is_seen:
            self._pages.show_view(view)
        elif shown in names and names.index(shown) + 1 < len(names):
            self._pages.show_view(names[names.index(shown) + 1])
        else:
            self._pages.show_view(None)

    def _show_verdicts(self) -> None:
        told = (*self._known_causes(), *self._panels.verdict.verdicts)
        self._open(VerdictsScreen(told, ascii=self._ascii))

    def _known_causes(self) -> Iterator[Verdict]:
        """What is wrong without having to be found: a failure, and what was broken on purpose."""
        s, outcome = self.snapshot, self._source.outcome
        failure = outcome if outcome is not None else s.trouble if s is not None else None
        if failure is not None and failure.state is State.FAILED:
            yield Verdict("failed", "danger", failure.reason, failure.place, failure.advice)
        for fault in s.faults_so_far if s is not None else ():
            info = fault.info
            mend = keyed(
                "{again} runs it again without" if outcome is not None else "{undo} undoes it"
            )
            yield Verdict("broken", "warning", f"broken on purpose: {info.label}", info.why, mend)

    def _traceback(self) -> None:
        outcome = self._source.outcome or (self.snapshot.trouble if self.snapshot else None)
        if outcome is not None:
            self._open(FailureScreen(outcome, ascii=self._ascii))

    def _help(self) -> None:
        at = self.situation
        self._open(HelpScreen(foreign=at.foreign, replay=at.replay, ascii=self._ascii))

    def _change_theme(self) -> None:
        app = self._screen.app
        app.theme = LIGHT.name if app.current_theme.dark else DARK.name

    def pick_step(self, step: Step) -> None:
        """Explain this step; if it was chosen already, the running one again."""
        steps = self._panels.steps
        steps.selected = None if steps.selected is step else step
        self._redraw()

    def _follow(self) -> None:
        self._pages.uncover()
        self._panels.steps.selected = None
        self._screen.remove_class("-messages")
        self._panels.search.value = self._panels.messages.search = ""
        self.end_search()

    def _search(self) -> None:
        if self._pages.full is not self._panels.messages:
            self._pages.restore()
        if self._screen.has_class("-narrow"):
            self._pages.open_messages()
        search = self._panels.search
        search.disabled = False
        search.add_class("-open")
        search.focus()

    def end_search(self) -> None:
        self._panels.search.remove_class("-open")
        self._panels.search.disabled = True
        self._screen.set_focus(None)

    def _scroll(self, pages: int) -> None:
        """The layers or a table where they are seen, else the messages."""
        if self._pages.view in AT_HAND and self._pages.view_is_seen:
            self._panels.view.scroll(pages)
        elif self._pages.layers_are_seen:
            self._panels.inside.scroll(pages)
        else:
            self._panels.messages.scroll_pages(pages)


def _to_the_replay(replay: ReplayedRun) -> dict[str, Callable[[], None]]:
    """What moves in a run that is played back."""
    return {
        "play": replay.play,
        "batch_back": partial(replay.scrub, -1, "batch"),
        "batch_on": partial(replay.scrub, 1, "batch"),
        "epoch_back": partial(replay.scrub, -1, "epoch"),
        "epoch_on": partial(replay.scrub, 1, "epoch"),
        "to_begin": partial(replay.scrub, -1, "run"),
        "to_end": partial(replay.scrub, 1, "run"),
        "play_slower": partial(replay.change_speed, -1),
        "play_faster": partial(replay.change_speed, 1),
    }
