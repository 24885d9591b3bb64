"""`fivestep runs` and `fivestep compare` on a screen, and what is opened from there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from textual import work

from ...core.comparison.comparison import Comparison
from ...core.storage.run_directory import RunError
from ...presets.errors import RecipeError
from ..browse.comparison import ComparisonScreen
from ..browse.reading import read_all
from ..browse.run_list import RunListScreen
from ..setup.attach import attach_or_read
from ..setup.options import RunOptions
from ..setup.resume import resume_run
from ..terminal.signals import TERMINAL_GONE, Signals
from ..terminal.terminal import Settings, forget_size, let_go
from ..widgets.messages import MessageLog
from .app import FivestepApp
from .attach import open_attached
from .open import open_screen, show

SIGNALLED: Final = 128
"""Exit codes from here on are those of signals."""


class RunsApp(FivestepApp):
    """The list of runs, or a comparison.

    Args:
        folder: the runs folder.
        comparison: what is shown; None shows the list.
        log: takes what there is to say.
        signals: in force while the screen is open.
    """

    def __init__(
        self, folder: Path, comparison: Comparison | None, log: MessageLog, signals: Signals
    ) -> None:
        super().__init__(None, log, signals=signals)
        self._folder, self._comparison = folder, comparison
        self.next: Callable[[], int] | None = None
        """What is opened in the place of this screen; gives the exit code."""
        self.comes_back = False
        """Whether the list is shown again after that."""

    def open_first(self) -> None:
        if self._comparison is None:
            self.push_screen(RunListScreen(self._folder, self.action_leave))
        else:
            self.push_screen(ComparisonScreen(self._comparison, self.action_leave))

    def on_run_list_screen_open(self, event: RunListScreen.Open) -> None:
        try:
            run = attach_or_read(self._folder, event.name)
        except RunError as error:
            self._refuse(error)
            return
        self.next, self.comes_back = partial(open_attached, self._folder, [], run), True
        self.action_leave()

    def on_run_list_screen_resume(self, event: RunListScreen.Resume) -> None:
        options = RunOptions(self._folder)
        try:
            builder = resume_run(event.name, options)
        except (RunError, RecipeError) as error:
            self._refuse(error)
            return
        self.next = partial(open_screen, builder, options)
        self.action_leave()

    def on_run_list_screen_compare(self, event: RunListScreen.Compare) -> None:
        self._read(event.names)

    @work(thread=True, exclusive=True)
    def _read(self, names: tuple[str, ...]) -> None:
        """Read the runs to compare, which takes seconds where they are long, and show them."""
        try:
            comparison = read_all(self._folder, names)
        except RunError as error:
            self.call_from_thread(self._refuse, error)
        else:
            self.call_from_thread(self._compare, comparison)

    def _compare(self, comparison: Comparison) -> None:
        if isinstance(self.screen, RunListScreen):
            self.push_screen(ComparisonScreen(comparison, self._back))

    def _refuse(self, error: Exception) -> None:
        self.notify(str(error), severity="warning", markup=False)

    def _back(self) -> None:
        self.pop_screen()


def open_runs(folder: Path) -> int:
    """Show the runs of a folder until the person leaves, or opens one; the exit code."""
    while True:
        app, code = _open(folder, None)
        if app.next is None or code:
            return code
        code = app.next()
        if not app.comes_back or code >= SIGNALLED:
            return code


def open_comparison(comparison: Comparison) -> int:
    """Show a comparison until the person leaves; the exit code."""
    return _open(Path(), comparison)[1]


def _open(folder: Path, comparison: Comparison | None) -> tuple[RunsApp, int]:
    forget_size()
    log = MessageLog()
    with Signals(partial(Settings().restore, "")) as signals:
        app = RunsApp(folder, comparison, log, signals)
        if show(app, log, signals):
            let_go()
            return app, TERMINAL_GONE
        return app, signals.exit_code or 0
