"""The panels of the watch screen, and which of them a window of some size shows."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.geometry import Size
from textual.screen import Screen
from textual.widgets import Input

from ...core.protocol.commands import Show
from ...core.protocol.snapshot import RunInfo, RunLocation
from ..widgets.banners import NoticeBar, OutcomePanel, VerdictBar
from ..widgets.code import CodePanel
from ..widgets.curves import CurvesPanel
from ..widgets.device import DevicePanel
from ..widgets.footer import CommandBar
from ..widgets.layers import InsidePanel
from ..widgets.messages import MessageLog, MessagesPanel
from ..widgets.numbers import NumbersPanel
from ..widgets.panel import Panel, RunPanel
from ..widgets.picture import ViewPanel
from ..widgets.ranks import RanksPanel
from ..widgets.status import Header, ProgressBars
from ..widgets.steps import StepsPanel

CSS = """
WatchScreen {
    layout: vertical; overflow: hidden; background: $background;

    #body { height: 1fr; }
    #main { layout: horizontal; height: 1fr; }
    #left { width: 68; }
    #right { width: 1fr; }
    #code { display: none; width: 62; height: 1fr; }
    #inside, #view { display: none; }
    #steps { height: 16; }
    #numbers { height: 1fr; }
    #device { height: 6; }
    #device.-gpu { height: 9; }
    #curves { height: 3fr; }
    #ranks { display: none; height: auto; }
    &.-ranks #ranks { display: block; }
    #messages { height: 1fr; min-height: 5; }
    #search { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    #search.-open { display: block; }

    /* 200x50: the loop's source gets a column, rows get air. */
    &.-wide #code { display: block; }
    &.-wide #left { width: 72; }
    &.-roomy #steps { height: 24; }
    &.-roomy.-wide #steps { height: 20; }

    /* 80x24: one column; numbers and device in a line each; messages behind a key. */
    &.-narrow {
        #main { layout: vertical; }
        #left { width: 1fr; height: auto; }
        #right { width: 1fr; height: 1fr; }
        #steps { height: 14; }
        #numbers, #device, #device.-gpu, #ranks { height: 1; border: none; padding: 0 2; }
        #curves { height: 1fr; }
        #messages { display: none; }
    }
    /* What must not be overlooked takes rows: the steps give one. */
    &.-alert #steps { height: 15; }
    &.-narrow.-alert #steps { height: 13; }
    &.-roomy.-alert #steps { height: 24; }
    &.-roomy.-wide.-alert #steps { height: 20; }

    /* What the model knows takes the place of the chart; 200x50 has room for both. */
    &.-view #view { display: block; height: 2fr; }
    &.-view #curves { display: none; }
    &.-wide.-view #curves { display: block; height: 1fr; }
    &.-wide.-view #view { height: 1fr; }

    /* Inside a batch: the code beside the steps, the layers below both at full width. */
    &.-inside {
        #main { min-height: 11; }
        #inside { display: block; height: auto; max-height: 50%; }
        #right, #numbers, #device { display: none; }
        #steps { height: 1fr; }
        #code { display: block; width: 1fr; }
    }
    &.-wide.-inside {
        #inside { max-height: 42%; }
        #right, #numbers { display: block; }
        #steps { height: 20; }
        #code { width: 62; }
    }
    &.-wide.-inside.-view #messages { display: none; }

    /* An outcome or a trouble stands below the progress: the steps give way. */
    &.-outcome #steps { height: 11; }
    &.-roomy.-outcome #steps { height: 20; }
    &.-narrow.-outcome #steps { height: 11; }
    &.-narrow.-outcome.-short #curves { display: none; }
    &.-narrow.-messages {
        #left, #curves { display: none; }
        #messages { display: block; }
    }

    &.-narrow #verdict { height: 1; }
    &.-narrow.-short.-view #left { display: none; }
    &.-narrow.-inside {
        #main { display: none; }
        #inside { height: 1fr; max-height: 100%; }
    }
    &.-narrow.-code {
        #left, #right { display: none; }
        #code { display: block; width: 1fr; }
    }

    /* Smaller still: the five steps, and what fits. */
    &.-small {
        #numbers, #device, #right { display: none; }
        #left, #steps { height: 1fr; }
    }
    &.-small.-messages #right, &.-small.-view #right { display: block; }
    &.-small #steps.-boxed { border: none; }

    /* One panel, and the containers that it is in, instead of all others. */
    &.-full #body * { display: none !important; }
    &.-full #body #search.-open { display: block !important; }
    &.-full #body .-filled {
        display: block !important; width: 1fr !important; height: 1fr !important;
        max-height: 100% !important;
    }
    &.-full #body .-filled.-boxed { border: round $border !important; padding: 0 1 !important; }
    &.-full #body .-filled.-boxed.-ascii { border: ascii $border !important; }
}
"""


def classes(size: Size) -> dict[str, bool]:
    """Which classes the screen has at this size."""
    narrow = size.width < 100 or size.height < 32
    return {
        "-narrow": narrow,
        "-wide": size.width >= 170 and not narrow,
        "-roomy": size.height >= 46 and not narrow,
        "-short": size.height < 30,
        "-small": size.height < 23 or size.width < 50,
    }


class Panels:
    """All panels of the watch screen.

    Args:
        log: what the messages panel shows.
        location: where the run is kept.
    """

    def __init__(
        self, info: RunInfo, log: MessageLog, location: RunLocation, *, ascii: bool
    ) -> None:
        self.header = Header(info, id="header", ascii=ascii)
        self.notice = NoticeBar(id="notice", ascii=ascii)
        self.progress = ProgressBars(info, id="progress", ascii=ascii)
        self.outcome = OutcomePanel(info, location, id="outcome", ascii=ascii)
        self.steps = StepsPanel(info, id="steps", ascii=ascii)
        self.numbers = NumbersPanel(info, id="numbers", ascii=ascii)
        self.device = DevicePanel(info, id="device", ascii=ascii)
        self.curves = CurvesPanel(info, id="curves", ascii=ascii)
        self.view = ViewPanel(id="view", ascii=ascii)
        self.ranks = RanksPanel(info, id="ranks", ascii=ascii)
        self.messages = MessagesPanel(log, id="messages", ascii=ascii)
        self.search = Input(
            placeholder="show messages that contain ...", id="search", disabled=True
        )
        self.code = CodePanel(info, id="code", ascii=ascii)
        self.inside = InsidePanel(id="inside", ascii=ascii)
        self.verdict = VerdictBar(id="verdict", ascii=ascii)
        self.footer = CommandBar(id="bar", ascii=ascii)
        self.of_run: tuple[RunPanel, ...] = (
            self.header, self.progress, self.outcome, self.steps, self.numbers, self.device
        )  # fmt: skip
        """Those that are given every new Snapshot."""
        self.in_turn: tuple[Panel, ...] = (
            self.curves, self.ranks, self.steps, self.numbers, self.device, self.messages,
            self.code, self.inside, self.view,
        )  # fmt: skip
        """Those that can fill the screen, the next one after each."""

    def compose(self) -> ComposeResult:
        """The panels in their containers; `CSS` says how large each is."""
        yield from (self.header, self.notice, self.progress, self.outcome)
        with Container(id="body"):
            with Container(id="main"):
                with Vertical(id="left"):
                    yield from (self.steps, self.numbers, self.device)
                with Vertical(id="right"):
                    yield from (self.curves, self.view, self.ranks, self.messages, self.search)
                yield self.code
            yield self.inside
        yield from (self.verdict, self.footer)


class Pages:
    """What a person has opened beside the five steps: layers, code, a view of the model; and the
    panel that fills the screen.
    """

    def __init__(self, screen: Screen[None], panels: Panels) -> None:
        self._screen, self._panels = screen, panels
        self._page = 0
        """1 shows the layers, and the code where it has room; 2 the code alone, if narrow."""
        self.full: Panel | None = None
        """The panel that fills the screen."""
        self._last_full: Panel = panels.curves
        self._view: str | None = None

    @property
    def view(self) -> str | None:
        """Which picture of what the model knows; "" is the first there is, None shows none."""
        return "" if self._view is None and self.full is self._panels.view else self._view

    def fit(self, size: Size) -> None:
        self._set(classes(size))
        self._make_room()

    def next_page(self) -> None:
        """The layers, in a narrow window then the code alone, then neither."""
        self._page = (self._page + 1) % (3 if self._screen.has_class("-narrow") else 2)
        if self._page:
            self._screen.remove_class("-messages")
        self.restore()

    def show_view(self, view: str | None) -> None:
        """Show this picture of what the model knows; None shows none."""
        self._view = view
        if not self._screen.has_class("-wide"):
            self._page = 0  # there is room for one of them
        self._screen.remove_class("-messages")
        if view is None or self.full is not self._panels.view:
            self.restore()

    def toggle_view(self, view: str) -> None:
        """Show this view, or close it where it is seen."""
        self.show_view(None if view == self.view and self.view_is_seen else view)

    def toggle_messages(self) -> None:
        """Show the messages in a narrow window, or hide them."""
        self.uncover()
        self._page = 0
        self._make_room()
        self._screen.toggle_class("-messages")

    def open_messages(self) -> None:
        """Show the messages in a narrow window."""
        self.restore()
        self._screen.add_class("-messages")

    def fill(self) -> None:
        """Let what was opened last fill the screen, or what filled it last."""
        panels, narrow = self._panels, self._screen.has_class("-narrow")
        opened = {
            panels.messages: self._screen.has_class("-messages"),
            panels.code: self._page == 2 and narrow,
            panels.inside: self.layers_are_seen,
            panels.view: self.view_is_seen,
        }
        self._fill(next((panel for panel, seen in opened.items() if seen), self._last_full))

    def fill_next(self, offset: int) -> None:
        """Let the next panel fill the screen, or the one before (-1)."""
        panels = [one for one in self._panels.in_turn if one is not self._panels.ranks or one.there]
        self._fill(panels[(panels.index(self._last_full) + offset) % len(panels)])

    def restore(self) -> None:
        """Show all panels again."""
        self._fill(None)

    def _fill(self, panel: Panel | None) -> None:
        self.full, self._last_full = panel, panel or self._last_full
        shown = [] if panel is None else panel.ancestors_with_self
        for node in self._screen.query("#body, #body *"):
            node.set_class(node in shown, "-filled", update=False)
        self._make_room()
        self._screen.update_node_styles()

    def uncover(self) -> None:
        """Close whatever hides the five steps."""
        if self.covers:
            self._page, self._view = 0, None
        self.restore()

    @property
    def covers(self) -> bool:
        view_covers = self._view is not None and self._screen.has_class("-short")
        return self._screen.has_class("-narrow") and bool(self._page or view_covers)

    @property
    def code_is_seen(self) -> bool:
        if self.full is not None:
            return self.full is self._panels.code
        narrow = self._screen.has_class("-narrow")
        return self._screen.has_class("-wide") or self._page == (2 if narrow else 1)

    @property
    def view_is_seen(self) -> bool:
        if self.full is not None:
            return self.full is self._panels.view
        return self._view is not None and (not self._page or self._screen.has_class("-wide"))

    @property
    def layers_are_seen(self) -> bool:
        if self.full is not None:
            return self.full is self._panels.inside
        return self._screen.has_class("-inside")

    def shown(self) -> Show:
        """What is on the screen, and so worth computing."""
        return Show(
            layers=self.layers_are_seen,
            histograms=self.layers_are_seen and self._panels.inside.histograms,
            batch=self.code_is_seen or self.layers_are_seen,
            view=self.view,
        )

    def _make_room(self) -> None:
        narrow = self._screen.has_class("-narrow")
        self._set(
            {
                "-inside": self._page == 1 or (self._page == 2 and not narrow),
                "-code": self._page == 2 and narrow,
                "-view": self._view is not None,
                "-full": self.full is not None,
            }
        )
        self._panels.inside.values = narrow or self.full is self._panels.inside
        self._panels.steps.shows_why = bool(self.full) or not self._screen.has_class("-wide")

    def _set(self, classes: dict[str, bool]) -> None:
        """Give the screen these classes; everything is styled anew once, not for each of them."""
        screen, before = self._screen, self._screen.classes
        for name, on in classes.items():
            screen.set_class(on, name, update=False)
        if screen.classes != before:
            screen.update_node_styles()
