"""Breakpoints: conditions that pause the run when they become true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from ...core.protocol.conditions import NAMES, ConditionError, Gate, parse
from ..render.format import clean, fit, wrap
from ..render.spans import Line, line
from ..widgets.dialog import Dialog
from ..widgets.panel import TextPanel

CHECKED: Final[dict[Gate, str]] = {
    "begin": "as each batch begins",
    "loss": "before backward",
    "update": "before the update",
    "end": "after each batch",
    "validation": "after each validation",
}
HINT: Final = "such as: loss > 3    grad_norm > 10 and epoch > 1    nonfinite    val_worse >= 3"
MOST: Final = 20
"""Breakpoints at most."""


class BreakpointsScreen(Dialog):
    """The conditions that there are, a field for another one, and the names that it may use.

    Args:
        conditions: in force now.
        metrics: names of the run's own validation metrics.
        change: takes the whole tuple whenever it is another one.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "close", show=False, priority=True),
        Binding("escape", "close", show=False),
        Binding("delete,backspace", "remove", show=False),
        Binding("up", "choose", show=False),
        Binding("down", "type", show=False),
    ]
    DEFAULT_CSS = """
    BreakpointsScreen {
        align: center middle;
        & > Vertical {
            width: 90; max-width: 98%; height: auto; max-height: 98%;
            background: $surface; border: round $accent; padding: 0 1;
            border-title-style: bold; border-title-color: $foreground;
            border-subtitle-color: $text-muted;
        }
        &.-ascii > Vertical { border: ascii $accent; }
        OptionList, OptionList:focus {
            border: none; background: $surface; height: auto; max-height: 6; padding: 0;
        }
        Input, Input:focus { border: none; height: 1; padding: 0 1; background: $panel; }
        #said { height: auto; max-height: 6; margin-bottom: 1; }
        VerticalScroll { height: auto; max-height: 16; scrollbar-size-vertical: 1; }
        TextPanel { background: $surface; }
    }
    """

    def __init__(
        self,
        conditions: Sequence[str],
        metrics: Sequence[str],
        change: Callable[[tuple[str, ...]], None],
        *,
        ascii: bool = False,
    ) -> None:
        super().__init__(ascii=ascii)
        self.conditions = list(conditions)
        self._metrics, self._change = tuple(metrics), change

    def compose(self) -> ComposeResult:
        box = Vertical(
            OptionList(*self._options()),
            Input(placeholder="pause the run when ...", id="condition"),
            Static(id="said"),
            VerticalScroll(TextPanel(self._names, ascii=self._ascii), can_focus=False),
        )
        box.border_title = "breakpoints: pause the run when one becomes true"
        box.border_subtitle = self._plain("enter adds · ↑ then delete removes · esc closes")
        yield box

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._say("", HINT)

    def _options(self) -> list[Option]:
        if not self.conditions:
            return [Option(Content.styled("none yet", "$text-muted"), disabled=True)]
        mark = self._plain("• ")
        return [Option(Content.assemble((mark, "bold"), clean(text))) for text in self.conditions]

    def _names(self, width: int) -> list[Line]:
        rows: list[Line] = []
        own = [(name, "the run's own validation metric") for name in self._metrics]
        known = [(name, info.about) for name, info in NAMES.items()]
        known += [pair for pair in own if pair[0] not in NAMES]
        column = min(max(len(clean(name)) for name, _ in known) + 2, width // 2)
        for name, about in known:
            for i, text in enumerate(wrap(about, max(8, width - column))):
                first = fit("" if i else clean(name), column - 2)
                rows.append(line((f"{first}  ", "bold"), (text, "dim")))
        more = (
            "joined by and, or, not and ( ), compared with < <= > >= == !=, computed with + - * /"
        )
        return [*rows, *(line((text, "dim")) for text in wrap(more, max(8, width)))]

    def _say(self, mark: str, text: str, style: str = "$text-muted") -> None:
        """What stands under the field."""
        said = clean(f"{mark} {text}" if mark else text)
        self.query_one("#said", Static).update(Content.styled(self._plain(said), style))

    def on_input_changed(self, event: Input.Changed) -> None:
        text = event.value.strip()
        if not text:
            self._say("", HINT)
            return
        try:
            condition = parse(text, self._metrics)
        except ConditionError as error:
            self._say("✗", str(error), "$error")
        else:
            judged = " and ".join(CHECKED[gate] for gate in condition.gates)
            self._say("✔", f"enter adds it; judged {judged}", "$success")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Add what was typed, if it can be understood."""
        text = event.value.strip()
        try:
            parse(text, self._metrics)
        except ConditionError as error:
            if text:
                self._say("✗", str(error), "$error")
            return
        if text in self.conditions:
            self._say("", "this one is there already")
            return
        if len(self.conditions) >= MOST:
            self._say("✗", f"{MOST} breakpoints are enough: remove one first", "$error")
            return
        self.conditions.append(text)
        event.input.clear()
        self._changed()

    def _changed(self, highlighted: int | None = None) -> None:
        self._change(tuple(self.conditions))
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(self._options())
        if self.conditions and highlighted is not None:
            options.highlighted = min(highlighted, len(self.conditions) - 1)

    def action_remove(self) -> None:
        options = self.query_one(OptionList)
        at = options.highlighted
        if options.has_focus and at is not None and at < len(self.conditions):
            del self.conditions[at]
            self._changed(at)
            if not self.conditions:
                self.action_type()

    def action_choose(self) -> None:
        options = self.query_one(OptionList)
        if self.conditions:
            options.focus()
            options.highlighted = len(self.conditions) - 1

    def action_type(self) -> None:
        self.query_one(Input).focus()
