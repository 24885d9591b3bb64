"""The screen that draws runs over each other, with what a comparison says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final, get_args

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.screen import Screen

from ...core.comparison.comparison import Comparison
from ...core.comparison.numbers import Across
from ...core.protocol.snapshot import Curve
from ..render.charts import ChartSeries, ChartView, chart, thinned
from ..render.comparison import mark_of, runs_lines, style_of, tables_lines
from ..render.glyphs import ascii_only
from ..render.keymap import KeyCommand
from ..render.spans import Line, line, spread
from ..widgets.curves import SMOOTH
from ..widgets.dialog import CommandsBox
from ..widgets.footer import FixedBar
from ..widgets.panel import Panel, TextPanel
from ..widgets.theme import DARK, LIGHT

MOST: Final = 2048
"""Points of a curve that are kept to be drawn: more than any window shows."""
WIDE: Final = 150
"""Cells from which on the tables stand beside the chart."""
ACROSS: Final[tuple[Across, ...]] = get_args(Across)

COMPARING: Final = (
    KeyCommand("metric", ("t",), "t", "metric", "The next metric", "Look", footer=1),
    KeyCommand("metric_before", ("T",), "T", "metric before", "The metric before", "Look"),
    KeyCommand("across", ("x",), "x", "batches/epochs/time",
               "Draw the curves over batches, over epochs, or over the time since the start",
               "Look", footer=2),
    KeyCommand("log", ("l",), "l", "log scale", "Logarithmic or linear", "Look", footer=3),
    KeyCommand("smooth", ("m",), "m", "smooth", "Smoothing off, light, strong", "Look", footer=4),
    KeyCommand("scroll", (), "↑ ↓", "tables", "Scroll the tables", "Look", footer=5),
    KeyCommand("theme", ("d",), "d", "dark/light", "Dark or light colours", "Program", footer=6),
    KeyCommand("back", ("escape", "q", "ctrl+c"), "esc", "back",
               "Back to the list of runs, or to the shell", "Program", footer=1),
    KeyCommand("shell", ("ctrl+z",), "ctrl+z", "shell", "To the shell; fg comes back", "Program"),
    KeyCommand("help", ("question_mark", "f1"), "?", "help", "This page", "Program", footer=2),
)  # fmt: skip


class ComparedCurves(Panel):
    """One metric of all runs over each other; a run's colour and mark are always the same."""

    BORDER_TITLE = "loss"
    WEIGHT = "main"

    def __init__(
        self, comparison: Comparison, *, id: str | None = None, ascii: bool = False
    ) -> None:
        super().__init__(id=id, ascii=ascii)
        self._comparison = comparison
        self._metrics = comparison.metrics
        self.metric = 0
        """Which of the comparison's metrics is on show."""
        self.across = 0
        """Which of `ACROSS`."""
        self.smooth = 0
        """Which of `SMOOTH`."""
        self.logarithmic = False
        self._curves: dict[tuple[str, Across], list[Curve]] = {}

    def lines(self, width: int, height: int) -> list[Line]:
        name, across = self._metrics[self.metric], ACROSS[self.across]
        self.set_title(name)
        curves = self._thinned(name, across)
        series = [
            ChartSeries(
                curve,
                style_of(i),
                mark=mark_of(i),
                glyph=self._comparison.letters[i].lower(),
                smooth=SMOOTH[self.smooth][1],
            )
            for i, curve in enumerate(curves)
        ]
        view = ChartView(log=self.logarithmic, ascii=self.ascii, across=across)
        return [self._legend(curves, width), *chart(series, width, height - 1, view)]

    def _thinned(self, name: str, across: Across) -> list[Curve]:
        if (name, across) not in self._curves:
            points = (run.points.get(name) for run in self._comparison.runs)
            empty = Curve((), (), (), (), ())
            self._curves[name, across] = [
                empty if one is None else thinned(one.curve(across), MOST) for one in points
            ]
        return self._curves[name, across]

    def _legend(self, curves: list[Curve], width: int) -> Line:
        """Which run is which, and how they are drawn; a run without such numbers is named so."""
        spans: list[tuple[str, str]] = []
        for i, (letter, curve) in enumerate(zip(self._comparison.letters, curves, strict=True)):
            spans.append((f"{mark_of(i)} {letter}", style_of(i)))
            spans.append(("  " if curve.x else " has none  ", "dim"))
        words = (f"over {ACROSS[self.across]}", "log" * self.logarithmic, SMOOTH[self.smooth][0])
        return spread(line(*spans), line((" · ".join(filter(None, words)), "dim")), width)


class ComparisonScreen(Screen[None]):
    """Curves of several runs, and in tables who they are, how they differ, and where they part."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, f"run('{c.id}')", c.label, show=False, priority=True)
        for c in COMPARING
        for key in c.keys
    ]
    DEFAULT_CSS = """
    ComparisonScreen {
        overflow: hidden;
        & > #body { layout: vertical; height: 1fr; }
        & VerticalScroll {
            height: auto; max-height: 50%; scrollbar-size-vertical: 1; background: $background;
            padding: 0 1;
        }
        & TextPanel { background: $background; }
        & #who { height: auto; max-height: 8; padding: 0 2; }
        &.-wide #body { layout: horizontal; }
        &.-wide VerticalScroll { width: 88; height: 1fr; max-height: 100%; }
        &.-wide ComparedCurves { width: 1fr; }
    }
    """

    def __init__(self, comparison: Comparison, leave: Callable[[], None]) -> None:
        super().__init__()
        self._comparison, self._leave = comparison, leave
        self._ascii = ascii_only()

    def compose(self) -> ComposeResult:
        comparison, a = self._comparison, self._ascii
        yield TextPanel(lambda width: runs_lines(comparison), id="who", ascii=a)
        with Container(id="body"):
            yield ComparedCurves(comparison, id="curves", ascii=a)
            with VerticalScroll():
                yield TextPanel(lambda width: tables_lines(comparison, width), ascii=a)
        yield FixedBar(COMPARING, id="bar", ascii=a)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width >= WIDE, "-wide")

    def on_command_bar_chosen(self, event: FixedBar.Chosen) -> None:
        self.action_run(event.command)

    def action_run(self, command: str) -> None:
        curves = self.query_one(ComparedCurves)
        match command:
            case "metric" | "metric_before":
                by = 1 if command == "metric" else -1
                curves.metric = (curves.metric + by) % len(self._comparison.metrics)
            case "across":
                curves.across = (curves.across + 1) % len(ACROSS)
            case "log":
                curves.logarithmic = not curves.logarithmic
            case "smooth":
                curves.smooth = (curves.smooth + 1) % len(SMOOTH)
            case "theme":
                self.app.theme = LIGHT.name if self.app.current_theme.dark else DARK.name
            case "shell":
                self.app.action_suspend_process()
            case "help":
                self.app.push_screen(CommandsBox(COMPARING, ascii=self._ascii))
            case "back":
                self._leave()
        curves.redraw()
