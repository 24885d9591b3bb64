"""What opens over the watch screen: how to stop, a traceback, help, verdicts."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ...core.protocol.diagnosis import Verdict
from ...core.protocol.snapshot import Outcome
from ...core.training.own_code import own_row
from ..render.format import clean, wrap
from ..render.glossary import glossary
from ..render.keymap import COMMANDS, FILES, NOT_FOREIGN, KeyCommand, keyed
from ..render.spans import Line, line, sized
from ..widgets.banners import in_full
from ..widgets.dialog import TextBox, command_rows

StopAnswer = Literal["batch", "epoch", "leave", "detach", "go"]

ANSWERS: tuple[tuple[StopAnswer, str, str], ...] = (
    ("batch", "b", "stop after this batch"),
    ("epoch", "e", "stop after this epoch"),
    ("leave", "l", "stop after this batch and leave fivestep"),
    ("detach", "z", "leave; the run goes on in the background"),
    ("go", "g", "go on training"),
)

ATTACHED: tuple[tuple[StopAnswer, str, str], ...] = (
    ("leave", "l", "leave: the run goes on without this screen"),
    ("batch", "b", "stop the run after this batch"),
    ("epoch", "e", "stop the run after this epoch"),
    ("go", "g", "stay, and let it go on"),
)
"""Of a run in another process; without the right to steer it only can be left."""

SCRIPT: tuple[tuple[StopAnswer, str, str], ...] = (
    ("batch", "b", "stop the script, as Ctrl+C would: after this batch"),
    ("leave", "l", "leave: the script goes on without this screen"),
    ("go", "g", "stay, and let it go on"),
)
"""Of a script that `fivestep run` has started."""


class AskStop(ModalScreen[StopAnswer]):
    """How to stop, or to leave a run that another process trains. A second Ctrl+C takes the first
    answer.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "first", show=False, priority=True),
        Binding("b", "answer('batch')", show=False),
        Binding("e", "answer('epoch')", show=False),
        Binding("l", "answer('leave')", show=False),
        Binding("z", "answer('detach')", show=False),
        Binding("g,q,escape", "answer('go')", show=False),
    ]
    DEFAULT_CSS = """
    AskStop {
        align: center middle;
        & > OptionList {
            width: 52; max-width: 96%; height: auto; max-height: 90%;
            background: $surface; border: round $primary; padding: 1 2;
            border-title-style: bold; border-title-color: $foreground;
            border-subtitle-color: $text-muted;
        }
        & > OptionList:focus { border: round $primary; }
        &.-ascii > OptionList, &.-ascii > OptionList:focus { border: ascii $primary; }
    }
    """

    def __init__(
        self,
        *,
        stopping: str | None = None,
        attached: bool = False,
        script: bool = False,
        steers: bool = True,
        kept: bool = False,
        ascii: bool = False,
    ) -> None:
        super().__init__()
        self._stopping = stopping
        self._answers = SCRIPT if script else ATTACHED if attached else ANSWERS
        if not steers:
            self._answers = tuple(one for one in self._answers if one[0] in ("leave", "go"))
        if not kept:
            self._answers = tuple(one for one in self._answers if one[0] != "detach")
        self.set_class(ascii, "-ascii")

    def compose(self) -> ComposeResult:
        box = OptionList(
            *(
                Option(Content.assemble((f" {key}  ", "bold"), text), id=answer)
                for answer, key, text in self._answers
            )
        )
        leaves = self._answers[0][0] == "leave"
        box.border_title = "leave this run?" if leaves else "stop this run?"
        if self._stopping:
            box.border_title = f"stopping after this {self._stopping}"
        box.border_subtitle = "ctrl+c again: " + ("leave" if leaves else "after this batch")
        yield box

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.action_answer(event.option_id or "go")

    def action_answer(self, answer: str) -> None:
        self._close(next((a for a, _, _ in self._answers if a == answer), "go"))

    def action_first(self) -> None:
        self._close(self._answers[0][0])

    def _close(self, answer: StopAnswer) -> None:
        if self.is_current:  # the first of two answers in a burst counts
            self.dismiss(answer)


class FailureScreen(TextBox):
    """What failed, where, and the whole traceback, opened at the line of a person's own code."""

    def __init__(self, outcome: Outcome, *, ascii: bool = False) -> None:
        super().__init__("traceback", self._lines_of, ascii=ascii)
        self._outcome = outcome
        self._own = own_row(outcome.traceback, outcome.line)
        self._opens_at = 0

    def _lines_of(self, width: int) -> list[Line]:
        width, outcome = max(1, width), self._outcome
        rows = [line((row, "bad")) for row in wrap(clean(outcome.reason), width)]
        rows += [line((row, "bold")) for row in wrap(clean(outcome.line), width) if row]
        rows += [line((row, "dim")) for row in wrap(clean(outcome.where), width)]
        rows.append(())
        for i, text in enumerate(outcome.traceback.rstrip().split("\n")):
            if i == self._own:
                self._opens_at = len(rows)
            own = self._own is not None and self._own <= i <= self._own + 1
            rows += [line((row, "bold" if own else "")) for row in wrap(clean(text), width)]
        return rows

    def on_mount(self) -> None:
        """Scroll to the own line, with what leads to it above."""
        self.call_after_refresh(self._open)

    def _open(self) -> None:
        box = self.query_one(VerticalScroll)
        box.scroll_to(y=self._opens_at - box.size.height // 2, animate=False)


INTRO = (
    "Training is five steps, taken again for every batch. The marker ▶ shows which one runs at "
    "this very moment, the bars beside them where the time of the last seconds went. "
    "Pause the run with {pause}, then walk through a batch with {step}. "
    "The words are explained below."
)
FOREIGN = (
    "This loop is a script's: saving, going back, validating and breaking it on purpose are left "
    "out, as only the script itself knows how."
)
REPLAY = (
    "This run is played back from its log: it can be looked at, at any batch, and nothing of it is "
    "changed. The words are explained below."
)
NOT_IN_REPLAY = ("Steer", "After the run")
KEY = 11


class HelpScreen(TextBox):
    """Every command, grouped; of a loop that is not ours those that it can do, and of a replay
    those that only look.
    """

    def __init__(self, *, foreign: bool = False, replay: bool = False, ascii: bool = False) -> None:
        make = partial(help_lines, foreign=foreign, replay=replay)
        super().__init__("help", make, ascii=ascii)


def help_lines(width: int, *, foreign: bool = False, replay: bool = False) -> list[Line]:
    """The page for `width` cells: two columns where they fit."""
    groups: dict[str, list[KeyCommand]] = {}
    first = "Replay" if replay else "Steer"
    for command in sorted(COMMANDS, key=lambda command: command.group != first):
        if replay and (command.otherwise == FILES or command.group in NOT_IN_REPLAY):
            continue
        if not (foreign and command.id in NOT_FOREIGN):
            groups.setdefault(command.group, []).append(command)
    column = (width - 3) // 2 if width >= 96 else width
    parts = {
        group: command_rows(group, commands, column, KEY) for group, commands in groups.items()
    }
    intro = REPLAY if replay else keyed(f"{INTRO} {FOREIGN}" if foreign else INTRO)
    rows: list[Line] = [line(text) for text in wrap(intro, max(1, width))]
    if column == width:
        for part in parts.values():
            rows += [(), *part]
        return [*rows, (), *glossary(width)]
    left = [row for group in (first, "Program") for row in ((), *parts[group])]
    right = [
        row
        for group, part in parts.items()
        if group not in (first, "Program")
        for row in ((), *part)
    ]
    for i in range(max(len(left), len(right))):
        a = left[i] if i < len(left) else ()
        b = right[i] if i < len(right) else ()
        rows.append((*sized(a, column), ("   ", ""), *b))
    return [*rows, (), *glossary(width)]


class VerdictsScreen(TextBox):
    """What is wrong, why, and what to try, of each verdict."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "close", show=False)]

    def __init__(self, verdicts: tuple[Verdict, ...], *, ascii: bool = False) -> None:
        title = "what is wrong, why, and what to try"
        super().__init__(title, partial(in_full, verdicts), ascii=ascii)
