"""The screen of all runs: filter, sort, mark, open, compare, resume, remove."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from ...core.storage.removal import remove_run, weight
from ...core.storage.run_directory import RunError
from ...core.storage.run_index import RunSummary
from ..render.format import clean, counted, number, size
from ..render.glyphs import ascii_only, plain
from ..render.keymap import KeyCommand
from ..render.spans import Line, line
from ..setup.attach import every_run
from ..widgets.dialog import CommandsBox
from ..widgets.footer import FixedBar
from ..widgets.panel import TextPanel
from ..widgets.theme import DARK, LIGHT
from .rows import HEAD, aligned, cells, remark, state

AGAIN: Final = 3.0
"""Seconds between two looks at the folder."""
NAMES: Final = 5
"""Runs that a question names, at most."""

LISTING: Final = (
    KeyCommand("open", ("enter",), "enter", "open",
               "Watch and steer a run that is being trained; look at one that has ended",
               "Choose", footer=1),
    KeyCommand("mark", ("space",), "space", "mark", "Mark a run, for c and X; again: no longer",
               "Choose", footer=2),
    KeyCommand("compare", ("c",), "c", "compare",
               "Draw the marked runs over each other; with one marked, it and this one",
               "Choose", footer=2),
    KeyCommand("resume", ("r",), "r", "resume", "Train a run on from where it was", "Choose",
               footer=3),
    KeyCommand("remove", ("X", "delete"), "X", "remove",
               "Remove the marked runs, or this one, from the disk; asks first", "Choose",
               footer=4),
    KeyCommand("filter", ("slash",), "/", "filter",
               "Show only runs whose name, preset or state has a text in it", "Look", footer=3),
    KeyCommand("sort", ("s",), "s", "sort",
               "Sort by start, name, best value, size or state", "Look", footer=4),
    KeyCommand("theme", ("d",), "d", "dark/light", "Dark or light colours", "Program", footer=6),
    KeyCommand("clear", ("escape",), "esc", "clear", "Clear filter and marks, then leave",
               "Look"),
    KeyCommand("quit", ("q", "ctrl+c"), "q", "quit", "Leave fivestep", "Program", footer=1),
    KeyCommand("shell", ("ctrl+z",), "ctrl+z", "shell", "To the shell; fg comes back", "Program"),
    KeyCommand("help", ("question_mark", "f1"), "?", "help", "This page", "Program", footer=2),
)  # fmt: skip

FILTERING: Final = (
    KeyCommand("list", ("enter",), "enter", "to the list", "Back to the list", "Look", footer=1),
    KeyCommand("clear", ("escape",), "esc", "clear", "Clear the filter", "Look", footer=2),
    KeyCommand("quit", ("ctrl+c",), "ctrl+c", "quit", "Leave fivestep", "Program", footer=3),
)
"""While a filter is typed: all other keys are text."""
LOW, LOWEST = 14, 9
"""Rows below which what stands around the list gives way to it."""

SORTS: Final[dict[str, Callable[[RunSummary], tuple[float | str, ...]]]] = {
    "start": lambda run: (),  # as they come: the newest first
    "name": lambda run: (run.name,),
    "best": lambda run: (run.metric_name, -(-math.inf if run.best is None else run.best)),
    "size": lambda run: (-run.size,),
    "state": lambda run: (state(run),),
}


class AskRemove(ModalScreen[bool]):
    """Whether to remove runs; what it frees."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", show=False),
        Binding("ctrl+c", "answer(False)", show=False, priority=True),
        Binding("n,q,escape", "answer(False)", show=False),
    ]
    DEFAULT_CSS = """
    AskRemove {
        align: center middle;
        & > TextPanel {
            width: 72; max-width: 96%; height: auto; background: $surface;
            border: round $error; padding: 1 2;
        }
        &.-ascii > TextPanel { border: ascii $error; }
    }
    """

    def __init__(self, runs: Sequence[RunSummary], *, ascii: bool = False) -> None:
        super().__init__()
        self._runs, self._ascii = runs, ascii
        self.set_class(ascii, "-ascii")

    def compose(self) -> ComposeResult:
        yield TextPanel(self._lines_of, ascii=self._ascii)

    def _lines_of(self, width: int) -> list[Line]:
        more = len(self._runs) - NAMES
        freed = sum(weight(run.path) for run in self._runs if run.path is not None)
        return [
            line((f"remove {counted(len(self._runs), 'run')} from the disk?", "bold")),
            (),
            *(line(f"  {run.name}") for run in self._runs[:NAMES]),
            *([line((f"  and {more} more", "dim"))] if more > 0 else []),
            (),
            line(f"frees {size(freed)}: checkpoints, logs, everything in the folder"),
            line((" y ", "key"), "remove   ", (" n ", "key"), "keep"),
        ]

    def action_answer(self, answer: bool) -> None:
        if self.is_current:  # the first of two answers in a burst counts
            self.dismiss(answer)


class RunListScreen(Screen[None]):
    """Every run of a folder, the live ones among them.

    Args:
        folder: the runs folder.
        leave: closes the program.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, f"run('{c.id}')", c.label, show=False, priority=key == "ctrl+c")
        for c in LISTING
        for key in c.keys
        if key != "enter"
    ]
    AUTO_FOCUS = "OptionList"
    DEFAULT_CSS = """
    RunListScreen {
        overflow: hidden;
        & #head { height: 1; padding: 0 4; background: $background; }
        & OptionList {
            height: 1fr; background: $background; border: round $border; padding: 0;
            border-title-color: $foreground; border-title-style: bold;
            border-subtitle-color: $text-muted;
            text-wrap: nowrap; text-overflow: ellipsis; scrollbar-size-vertical: 1;
            &:focus { border: round $primary; background-tint: transparent; }
            & > .option-list--option { padding: 0 1; }
        }
        & #about { height: 3; padding: 0 2; background: $background; }
        & Input { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
        & Input.-open { display: block; }
        &.-low #about, &.-lowest #head { display: none; }
        &.-lowest OptionList, &.-lowest OptionList:focus { border: none; }
        &.-ascii OptionList, &.-ascii OptionList:focus { border: ascii $border; }
    }
    """

    @dataclass
    class Open(Message):
        """Attach to this run."""

        name: str

    class Resume(Open):
        """Train this run on."""

    @dataclass
    class Compare(Message):
        """Draw these over each other."""

        names: tuple[str, ...]

    def __init__(self, folder: Path, leave: Callable[[], None]) -> None:
        super().__init__()
        self._folder, self._leave, self._ascii = folder, leave, ascii_only()
        self._runs: list[RunSummary] = []
        self._marked: list[str] = []
        """Names, in the order in which they were marked."""
        self._sort = 0
        """Which of `SORTS`."""
        self._head = ""
        self._drawn: list[str] = []
        self.set_class(self._ascii, "-ascii")

    def compose(self) -> ComposeResult:
        yield TextPanel(lambda width: [line((self._head, "dim"))], id="head", ascii=self._ascii)
        yield OptionList(id="runs")
        yield TextPanel(self._about, id="about", ascii=self._ascii)
        yield Input(placeholder="name, preset or state", compact=True, max_length=80)
        yield FixedBar(LISTING, id="bar", ascii=self._ascii)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.height < LOW, "-low")
        self.set_class(event.size.height < LOWEST, "-lowest")

    @on(events.DescendantFocus)
    def _offer(self) -> None:
        """In the footer, what keys do now."""
        bar = self.query_one(FixedBar)
        bar.commands = FILTERING if self.query_one(Input).has_focus else LISTING
        bar.redraw()

    def on_mount(self) -> None:
        """Look at once, and again and again."""
        self._take(every_run(self._folder))
        self.set_interval(AGAIN, self._look)

    @work(thread=True, exclusive=True)
    def _look(self) -> None:
        found = every_run(self._folder)
        self.app.call_from_thread(self._take, found)

    def _take(self, found: list[RunSummary]) -> None:
        self._runs = found
        names = {run.name for run in found}
        self._marked = [name for name in self._marked if name in names]
        self._redraw()

    @property
    def shown(self) -> list[RunSummary]:
        """The runs that pass the filter, sorted."""
        text = self.query_one(Input).value.casefold()
        kept = [
            run for run in self._runs if text in f"{run.name} {run.preset} {state(run)}".casefold()
        ]
        return sorted(kept, key=list(SORTS.values())[self._sort])

    @property
    def _highlighted(self) -> RunSummary | None:
        box = self.query_one(OptionList)
        if box.highlighted is None or box.highlighted >= box.option_count:
            return None
        chosen = box.get_option_at_index(box.highlighted).id
        return next((run for run in self._runs if run.name == chosen), None)

    def _redraw(self) -> None:
        """Draw the list again if it says something else; what is highlighted stays so."""
        box, runs = self.query_one(OptionList), self.shown
        self._head, *rows = aligned([HEAD, *map(cells, runs)])
        marked = [
            f"{'◆' if run.name in self._marked else ' '} {row}"
            for run, row in zip(runs, rows, strict=True)
        ]
        if marked != self._drawn or not runs:
            self._drawn, before = marked, self._highlighted
            box.clear_options()
            box.add_options(
                Option(Content(plain(row) if self._ascii else row), id=run.name)
                for run, row in zip(runs, marked, strict=True)
            )
            names = [run.name for run in runs]
            at = names.index(before.name) if before is not None and before.name in names else 0
            box.highlighted = at if runs else None
        told = f"{len(runs)} of {counted(len(self._runs), 'run')}"
        box.border_title = told if len(runs) < len(self._runs) else counted(len(runs), "run")
        box.border_subtitle = f"sorted by {list(SORTS)[self._sort]}"
        if not self._runs:
            told = f"no runs in {self._folder}; fivestep train starts one"
            box.border_title = Content(clean(told))
        self.query_one("#head", TextPanel).redraw()
        self.query_one("#about", TextPanel).redraw()

    def _about(self, width: int) -> list[Line]:
        """More of what is highlighted."""
        run = self._highlighted
        if run is None:
            return [()] * 3
        facts = [
            run.preset,
            counted(run.batches_done, "batch"),
            counted(run.checkpoints, "checkpoint"),
        ]
        if run.val_loss is not None:
            facts.append(f"val loss {number(run.val_loss)}")
        return [
            line((run.name, "bold"), f"  {state(run)}: {clean(run.reason) or remark(run) or ''}"),
            line((", ".join(filter(None, facts)), "dim")),
            line(("" if run.path is None else clean(str(run.path)), "dim")),
        ]

    @on(OptionList.OptionHighlighted)
    def _moved(self) -> None:
        self.query_one("#about", TextPanel).redraw()

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        if event.option_id is not None:
            self.post_message(self.Open(event.option_id))

    @on(Input.Changed)
    def _filtered(self) -> None:
        self._redraw()

    @on(Input.Submitted)
    def _to_list(self) -> None:
        self.query_one(OptionList).focus()

    def on_command_bar_chosen(self, event: FixedBar.Chosen) -> None:
        if event.command == "list":
            self._to_list()
        elif event.command == "open":
            self.query_one(OptionList).action_select()
        else:
            self.action_run(event.command)

    def action_run(self, command: str) -> None:
        run = self._highlighted
        match command:
            case "mark" if run is not None:
                self._mark(run.name)
            case "compare":
                self._compare(run)
            case "resume" if run is not None:
                self.post_message(self.Resume(run.name))
            case "remove":
                self._ask_remove(run)
            case "filter":
                box = self.query_one(Input)
                box.add_class("-open")
                box.focus()
            case "sort":
                self._sort = (self._sort + 1) % len(SORTS)
                self._redraw()
            case "theme":
                self.app.theme = LIGHT.name if self.app.current_theme.dark else DARK.name
            case "shell":
                self.app.action_suspend_process()
            case "help":
                self.app.push_screen(CommandsBox(LISTING, ascii=self._ascii))
            case "clear":
                self._clear()
            case "quit":
                self._leave()

    def _clear(self) -> None:
        """Clear the filter and the marks; leave where there are none."""
        box = self.query_one(Input)
        if box.value or box.has_focus or self._marked:
            box.value, self._marked = "", []
            box.remove_class("-open")
            self.query_one(OptionList).focus()
            self._redraw()
        else:
            self._leave()

    def _mark(self, name: str) -> None:
        if name in self._marked:
            self._marked.remove(name)
        else:
            self._marked.append(name)
        self._redraw()
        self.query_one(OptionList).action_cursor_down()

    def _compare(self, run: RunSummary | None) -> None:
        names = list(self._marked)
        if run is not None and len(names) == 1 and run.name not in names:
            names.append(run.name)
        if len(names) < 2:
            self.notify("mark two runs or more with space, then compare them")
        else:
            self.post_message(self.Compare(tuple(names)))

    def _ask_remove(self, run: RunSummary | None) -> None:
        wanted = [one for one in self._runs if one.name in self._marked]
        if not wanted and run is not None:
            wanted = [run]
        runs = [one for one in wanted if one.path is not None]
        live = [one.name for one in runs if one.state == "running"]
        if live:
            self.notify(f"{', '.join(live)}: being trained, so not removed", severity="warning")
        runs = [one for one in runs if one.state != "running"]
        if runs:
            ask = AskRemove(runs, ascii=self._ascii)
            self.app.push_screen(ask, lambda yes: self._remove(runs) if yes else None)

    def _remove(self, runs: Sequence[RunSummary]) -> None:
        freed = 0
        for run in runs:
            try:
                freed += remove_run(self._folder, run.name)
            except RunError as error:
                self.notify(str(error), severity="error", markup=False)
        self.notify(f"{size(freed)} freed")
        self._take(every_run(self._folder))
