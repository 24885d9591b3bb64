"""The panels that the watch screen is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.widgets import Input

from ..widgets.banners import NoticeBar, OutcomePanel, VerdictBar
from ..widgets.code import CodePanel
from ..widgets.curves import CurvesPanel
from ..widgets.device import DevicePanel
from ..widgets.footer import CommandBar
from ..widgets.layers import InsidePanel
from ..widgets.messages import MessagesPanel
from ..widgets.numbers import NumbersPanel
from ..widgets.panel import Panel
from ..widgets.picture import ViewPanel
from ..widgets.status import Header, ProgressBars
from ..widgets.steps import StepsPanel

if TYPE_CHECKING:
    from textual.screen import Screen

    from ..setup.launch import RunLocation

    Base = Screen[None]
else:
    Base = object


class Parts(Base):
    """Mixed into `WatchScreen`: makes its panels. Where they stand is in `layout`."""

    if TYPE_CHECKING:
        source: Any
        messages: Any
        ascii: bool
        _kept: RunLocation
        _full: bool

    def compose(self) -> ComposeResult:
        info, ascii = self.source.info, self.ascii
        self.header = Header(info, id="header", ascii=ascii)
        self.notice = NoticeBar(id="notice", ascii=ascii)
        self.progress = ProgressBars(info, id="progress", ascii=ascii)
        self.ending = OutcomePanel(info, id="outcome", ascii=ascii)
        self.ending.kept = self._kept
        self.steps = StepsPanel(info, id="steps", ascii=ascii)
        self.numbers = NumbersPanel(info, id="numbers", ascii=ascii)
        self.device = DevicePanel(info, id="device", ascii=ascii)
        self.curves = CurvesPanel(info, id="curves", ascii=ascii)
        self.view = ViewPanel(id="view", ascii=ascii)
        self.said = MessagesPanel(self.messages, id="messages", ascii=ascii)
        self.code = CodePanel(full=self._full, id="code", ascii=ascii)
        self.inside = InsidePanel(id="inside", ascii=ascii)
        self.verdict = VerdictBar(id="verdict", ascii=ascii)
        self.bar = CommandBar(id="bar", ascii=ascii)
        yield self.header
        yield self.notice
        yield self.progress
        yield self.ending
        with Container(id="body"):
            with Vertical(id="left"):
                yield self.steps
                yield self.numbers
                yield self.device
            with Vertical(id="rest"):
                with Horizontal(id="upper"):
                    with Vertical(id="right"):
                        yield self.curves
                        yield self.view
                        yield self.said
                        yield Input(
                            placeholder="show messages that contain ...", id="search", disabled=True
                        )
                    yield self.code
                yield self.inside
        yield self.verdict
        yield self.bar

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Those that show a Snapshot."""
        return (self.header, self.progress, self.ending, self.steps, self.numbers, self.device)
