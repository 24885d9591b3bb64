"""The screen as a whole: choosing a run, watching it, leaving. It has no run logic of its own."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.events import Resize
from textual.timer import Timer

from ...presets.recipe import load
from ...presets.user_file import load_own
from ..choose.screen import Choice, ChooseScreen
from ..setup.options import NOTHING, RunOptions
from ..setup.preferences import preference
from ..terminal.alerts import Alerts
from ..terminal.capture import print_to_descriptors
from ..terminal.keyboard import forgiving
from ..terminal.signals import Signals
from ..terminal.terminal import in_background, is_gone, let_go
from ..watch.pace import SETTLED, Resizing
from ..widgets.messages import MessageLog
from ..widgets.theme import DARK, LIGHT, themes

# What is not imported up here is late: the first picture does without.
if TYPE_CHECKING:
    from textual.command import Provider

    from ..setup.builder import RunBuilder
    from ..setup.launch import Launch
    from ..setup.plan import Plan
    from ..watch.watch import WatchScreen

PATIENCE = 30.0
"""Seconds that leaving waits for the batch under way, and for its checkpoint."""
GLANCE = 0.5
"""Seconds between two looks whether the terminal is still there."""


def _palette() -> type[Provider]:
    from ..watch.palette import PaletteCommands

    return PaletteCommands


class FivestepApp(App[None]):
    """Chooses, watches, and starts again.

    Args:
        start: this run, at once; None opens the choosing screen.
        log: takes what the run prints.
        options: of a run that is chosen on the screen.
        signals: in force while the screen is open.
    """

    TITLE = "fivestep"
    CSS_PATH = Path(__file__).with_name("app.tcss")
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar = {_palette}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "leave_at_once", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", show=False, priority=True),
    ]

    def __init__(
        self,
        start: RunBuilder | None = None,
        log: MessageLog | None = None,
        options: RunOptions = NOTHING,
        signals: Signals | None = None,
    ) -> None:
        super().__init__()
        offered = themes(self.console.color_system)
        for theme in offered:
            self.register_theme(theme)
        wanted = {"dark": DARK, "light": LIGHT}[preference("theme")]
        self.theme = wanted.name  # before anything is styled: it would be styled twice
        for name in self.available_themes.keys() - {theme.name for theme in offered}:
            self.unregister_theme(name)  # nobody has looked whether they can be read
        self.messages = log or MessageLog()
        self.launch: Launch | None = None
        """The run that is watched, or was watched last."""
        self.leaving = False
        """Somebody has asked to leave: the run is told to stop, and waited for."""
        self.background: list[str] = []
        """The words that have the run go on in the background; none unless it is left to it."""
        self._wait_told = False
        """Whether it was said what leaving waits for."""
        self._signals = signals or Signals()
        self._start, self._options = start, options
        self._choice: Choice | None = None
        """What was started last: it is there again on coming back to the choosing screen."""
        self._file: str | None = None
        """The Python file that was watched."""
        self._timer: Timer | None = None
        self._resizing = Resizing()
        self._resize_later: Timer | None = None
        self._settled: Resize | None = None
        """A size that has waited."""

    def get_driver_class(self) -> type[Driver]:
        """One that no byte from the keyboard can end."""
        return forgiving(super().get_driver_class())

    def on_resize(self, event: Resize) -> None:
        """Take a new size of the window, or wait for the last one of many."""
        wait = 0.0
        if not self.is_headless:
            came = time.monotonic() - event.time  # the screen may have been busy since
            wait = self._resizing.wait(SETTLED if event is self._settled else came)
        if self._resize_later is not None:
            self._resize_later.stop()
        if wait > 0:
            event.prevent_default()
            event.stop()
            self._settled = Resize(event.size, event.virtual_size, pixel_size=event.pixel_size)
            self._resize_later = self.set_timer(wait, partial(self.post_message, self._settled))

    def on_mount(self) -> None:
        """Open the first screen."""
        if not self.is_headless:
            print_to_descriptors()
            self._signals.notify(asyncio.get_running_loop(), self._look_around)
            self.set_interval(GLANCE, self._look_around)
            self._look_around()
        self.open_first()

    def open_first(self) -> None:
        """Show what there is to be seen at first."""
        if self._start is None:
            self.push_screen(ChooseScreen())
        else:
            self._begin(self._start)

    def _begin(self, builder: RunBuilder) -> None:
        """Load, build and train; watch it as soon as it is built."""
        from ...core.protocol.commands import Pause
        from ..setup.launch import Launch
        from ..setup.plan import FilePlan
        from ..watch.loading import LoadingScreen

        plan = builder.plan
        if isinstance(plan, FilePlan):
            self._file = str(plan.run.path)
            self._choice = Choice(self._file, plan.run.changes)
        self.launch = launch = Launch(builder)
        paused = builder.starts_paused
        if paused:
            launch.send(Pause())
        launch.start()
        what = plan.name if builder.resume is None else f"going on with {builder.name}"
        if builder.replay is not None:
            what = builder.replay.headline
            self.messages.add(what)
        self.push_screen(LoadingScreen(what, lambda: builder.doing, self.messages, paused=paused))
        self._timer = self.set_interval(0.03, self._watch_when_built)

    def _watch_when_built(self) -> None:
        launch, timer = self.launch, self._timer
        assert launch is not None
        # A timer that has been stopped may have one more call on its way.
        if timer is None or (launch.session is None and launch.outcome is None):
            return
        timer.stop()
        self._timer = None
        from ..watch.watch import WatchScreen

        self._only(
            WatchScreen(
                launch,
                device=launch.probe,
                log=self.messages,
                kept=lambda: launch.kept,
                inside=launch.builder.replay is not None,
                alerts=self.alerts(launch.info.name, launch.builder.options.bell),
            )
        )

    def alerts(self, name: str, bell: bool) -> Alerts:
        """What calls a person back to a run of this name, on the terminal that is drawn on."""
        return Alerts(name, (sys.__stderr__,) if bell and not self.is_headless else ())

    def _only(self, screen: WatchScreen | ChooseScreen) -> None:
        """Show this screen, with nothing beneath it but the first."""
        while len(self.screen_stack) > 2:
            self.pop_screen()
        self.switch_screen(screen) if len(self.screen_stack) == 2 else self.push_screen(screen)

    def on_choose_screen_start(self, event: ChooseScreen.Start) -> None:
        from ..setup.builder import RunBuilder
        from ..setup.plan import FilePlan, RecipePlan

        self._choice = Choice(event.name, event.overrides)
        if event.name == self._file:
            plan: Plan = FilePlan(load_own(event.name, event.overrides))
        else:
            plan = RecipePlan(load(event.name, event.overrides))
        options = replace(self._options, hold=True) if event.paused else self._options
        self._begin(RunBuilder.begin(plan, options))

    def on_watch_screen_again(self) -> None:
        if self.launch is not None:
            self._begin(self.launch.builder.again())

    def on_watch_screen_another(self) -> None:
        self._only(ChooseScreen(choice=self._choice, file=self._file))

    def on_watch_screen_detach(self) -> None:
        """Leave a run that goes on in the background, from the batch under way."""
        from ..setup.detach import background_words, not_exactly

        launch = self.launch
        assert launch is not None
        assert launch.session is not None
        picture = launch.session.latest()
        assert picture is not None
        if why := not_exactly(launch.builder, launch.session):
            way_out = "ctrl+z, then bg, lets it train on without the screen"
            text = f"it can't go on exactly: {why}; {way_out}"
            self.notify(text, severity="warning", timeout=15, markup=False)
            return
        if picture.stopping != "batch":
            self.background = background_words(launch.builder, picture)
            launch.builder.handed_over = True
        self.action_leave("goes on in the background")

    def on_watch_screen_quit(self) -> None:
        """The run has ended, or has been asked to."""
        self.action_leave()

    def _look_around(self) -> None:
        """Whether a signal asks for the end, or the terminal is gone: then training goes on."""
        signals = self._signals
        if signals.suspending:
            self.action_suspend_process()
        elif signals.awake is not None:  # SIGSTOP came: nothing was left in order
            self._come_back()
        self._beat()
        if signals.hung_up or is_gone():
            signals.hung_up = True
            self.exit()
        elif signals.caught is not None and not self.leaving:
            self.action_leave(f"interrupted by {signals.caught.name}")
        elif self.leaving and self.launch is not None:
            from ..headless.reporter import give_up_data, waits_for

            if self.launch.session is not None:
                give_up_data(self.launch.session)
            waits = "" if self._wait_told else waits_for(self.launch)
            if waits:
                self._wait_told = True
                self.messages.add(f"{waits}; ctrl+c leaves at once")

    def action_suspend_process(self) -> None:
        """To the shell, until it brings the job back; with `bg` training goes on there."""
        if not self.is_headless:
            self._come_back(suspend=True)

    def _come_back(self, *, suspend: bool = False) -> None:
        """Leave the screen, and draw it anew once the terminal is ours.

        Args:
            suspend: stop the process between.
        """
        signals, stopped = self._signals, True
        with self.suspend():
            self._beat()
            if suspend:
                stopped = signals.suspend()
            while in_background() and signals.caught is None and not signals.hung_up:
                self._beat()
                time.sleep(GLANCE)
            if in_background():
                let_go()  # what comes to its end now has no screen to come back to
            self._beat()
        if not stopped:
            self.messages.add("no shell to go to: the program was started without one", "warning")

    def _beat(self) -> None:
        """Let the run know that the process runs, and whether it was stopped."""
        awake, self._signals.awake = self._signals.awake, None
        session = self.launch.session if self.launch is not None else None
        if session is not None:
            session.beat() if awake is None else session.awake(awake)

    def action_pause_at_start(self) -> None:
        from ...core.protocol.commands import Pause
        from ..watch.loading import LoadingScreen

        if self.launch is not None and isinstance(self.screen, LoadingScreen):
            self.launch.send(Pause())
            self.screen.say_paused()

    def action_leave(self, reason: str = "stopped by hand") -> None:
        """Leave once the batch under way is done, and on the disk."""
        if not self.leaving:
            self.leaving = True
            self.refresh_bindings()
            self._leave(reason)

    async def action_quit(self) -> None:
        self.action_leave()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Ctrl+C leaves at once where leaving takes its time."""
        return self.leaving if action == "leave_at_once" else True

    def action_leave_at_once(self) -> None:
        self._signals.end_at_once(2)

    @work(thread=True)
    def _leave(self, reason: str) -> None:
        if self.launch is not None:
            self.launch.leave(PATIENCE, reason)
        self.call_from_thread(self.exit)
