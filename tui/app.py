"""The screen as a whole: choosing a run, watching it, leaving. It has no run logic of its own."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import App
from textual.binding import BindingType
from textual.timer import Timer

from ..presets.recipe import load
from .capture import print_to_descriptors
from .screens.choose import Choice, ChooseScreen
from .signals import STOPPING
from .theme import DARK, THEMES
from .widgets.messages import MessageLog
from .wishes import NOTHING, Wishes

# What is not imported up here is late: the first picture does without.
if TYPE_CHECKING:
    from .keeping import Keeping
    from .launch import Launch
    from .screens.watch import WatchScreen

PATIENCE = 30.0
"""Seconds that leaving waits for the batch under way."""


class FivestepApp(App[None]):
    """Chooses, watches, and starts again.

    Args:
        start: this run, at once; None opens the choosing screen.
        log: takes what the run prints.
        wishes: what to keep of a run that is chosen on the screen.
    """

    TITLE = "fivestep"
    CSS_PATH = Path(__file__).with_name("app.tcss")
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(
        self,
        start: Keeping | None = None,
        log: MessageLog | None = None,
        wishes: Wishes = NOTHING,
    ) -> None:
        super().__init__()
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = DARK.name  # before anything is styled: it would be styled twice
        self.messages = log or MessageLog()
        self.launch: Launch | None = None
        """The run that is watched, or was watched last."""
        self.caught: signal.Signals | None = None
        """The signal that ended the screen."""
        self._start, self._wishes = start, wishes
        self._choice: Choice | None = None
        """What was started from the choosing screen: it is there again on coming back."""
        self._timer: Timer | None = None

    def on_mount(self) -> None:
        """Open the first screen."""
        if not self.is_headless:
            print_to_descriptors()
            loop = asyncio.get_running_loop()
            for number in STOPPING:
                loop.add_signal_handler(number, self.interrupt, number)
        if self._start is None:
            self.push_screen(ChooseScreen())
        else:
            self._begin(self._start)

    def _begin(self, keeping: Keeping) -> None:
        """Load, build and train; watch it as soon as it is built."""
        from .launch import Launch
        from .screens.loading import LoadingScreen

        self.launch = launch = Launch(keeping)
        launch.start()
        self.push_screen(LoadingScreen(keeping.plan.name))
        self._timer = self.set_interval(0.03, self._watch_when_built)

    def _watch_when_built(self) -> None:
        launch = self.launch
        assert launch is not None
        if launch.session is None and launch.outcome is None:
            return
        if self._timer is not None:
            self._timer.stop()
        from .screens.watch import WatchScreen

        self._only(
            WatchScreen(
                launch,
                device=launch.probe,
                log=self.messages,
                full_loop=launch.full_loop,
            )
        )

    def _only(self, screen: WatchScreen | ChooseScreen) -> None:
        """Show this screen, with nothing beneath it but the first."""
        while len(self.screen_stack) > 2:
            self.pop_screen()
        self.switch_screen(screen) if len(self.screen_stack) == 2 else self.push_screen(screen)

    def on_choose_screen_start(self, event: ChooseScreen.Start) -> None:
        """A run was chosen."""
        from .keeping import Keeping
        from .plan import RecipePlan

        self._choice = Choice(event.name, event.overrides)
        plan = RecipePlan(load(event.name, event.overrides))
        self._begin(Keeping.begin(plan, self._wishes))

    def on_watch_screen_again(self) -> None:
        """The same run once more."""
        if self.launch is not None:
            self._begin(self.launch.keeping.again())

    def on_watch_screen_another(self) -> None:
        """Another preset."""
        self._only(ChooseScreen(choice=self._choice))

    def on_watch_screen_quit(self) -> None:
        """The run has ended, or has been told to."""
        self.action_leave()

    def interrupt(self, caught: signal.Signals) -> None:
        """A signal asks the process to end: finish the batch under way, then leave."""
        if self.caught is not None:  # a second one: at once
            self.exit()
        self.caught = caught
        self.action_leave()

    def action_pause_at_start(self) -> None:
        """Hold the run before its first phase."""
        from ..core.control import Pause
        from .screens.loading import LoadingScreen

        if self.launch is not None and isinstance(self.screen, LoadingScreen):
            self.launch.send(Pause())
            self.screen.say_paused()

    def action_leave(self) -> None:
        """Leave once the batch under way is done."""
        self._leave()

    @work(thread=True, exclusive=True)
    def _leave(self) -> None:
        if self.launch is not None:
            self.launch.leave(PATIENCE)
        self.call_from_thread(self.exit)
