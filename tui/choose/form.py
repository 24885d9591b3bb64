"""The recipe's settings as fields, each with a note beside it that says what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input

from ...presets.catalogue import DATASETS, MODELS
from ..render.format import clean, counted, fit
from ..render.spans import Line, Span, line
from ..widgets.panel import Panel
from .settings import DATASET, MODEL, SETTINGS, Resolved, Setting, nudged

if TYPE_CHECKING:
    from ..render.data_pictures import Preview

LONGEST: Final = 80
"""Characters that a field takes."""


class Field(Input):
    """One setting: what is typed, or walked to with the arrow keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "nudge(1)", "Change", show=False),
        Binding("down", "nudge(-1)", "Change", show=False),
    ]
    DEFAULT_CSS = """
    Field {
        background: $panel;
        &.-textual-compact { padding: 0 1; }
        &:focus {
            background: $block-cursor-background; color: $block-cursor-foreground;
            text-style: bold;
        }
        &.-wrong { color: $error; text-style: underline; }
        &.-wrong:focus { color: $block-cursor-foreground; text-style: bold underline; }
    }
    """

    def __init__(self, setting: Setting, *, id: str | None = None) -> None:
        super().__init__(
            id=id,
            classes="-valid",  # what textual makes of it later, styling it once more
            compact=True,
            max_length=LONGEST,
            select_on_focus=True,
        )
        self.setting = setting

    def action_nudge(self, by: int) -> None:
        """The next name, or a larger number; or the other way."""
        step = -by if self.setting.choices else by
        self.value = nudged(self.setting, self.value or self.placeholder, step)
        self.cursor_position = len(self.value)


class Labels(Panel):
    """The fields' names; the one that has the focus is marked."""

    DEFAULT_CSS = "Labels { width: 13; height: 10; }"
    focused: str = ""

    def __init__(self, settings: tuple[Setting, ...], *, ascii: bool = False) -> None:
        super().__init__(ascii=ascii)
        self._settings = settings

    def lines(self, width: int, height: int) -> list[Line]:
        return [
            line(("▶ ", "bar"), (fit(s.label, 11).rstrip(), "bold"))
            if s.key == self.focused
            else line(f"  {fit(s.label, 11).rstrip()}")
            for s in self._settings
        ]


class Notes(Panel):
    """What is wrong with a field; else what it means, or the names it takes, to be clicked."""

    DEFAULT_CSS = "Notes { width: 1fr; height: 10; padding: 0 0 0 2; }"

    @dataclass
    class Picked(Message):
        """A name was clicked."""

        key: str
        value: str

    def __init__(self, settings: tuple[Setting, ...], *, ascii: bool = False) -> None:
        super().__init__(ascii=ascii)
        self._settings = settings
        self.resolved: Resolved | None = None
        self.preview: Preview | None = None
        self.own: Mapping[str, str] = {}
        """The recipe's values without edits."""
        self._places: list[list[tuple[int, int, str]]] = []

    def lines(self, width: int, height: int) -> list[Line]:
        self._places = [[] for _ in self._settings]
        return [self._note(y, setting, width) for y, setting in enumerate(self._settings)]

    def _note(self, y: int, setting: Setting, width: int) -> Line:
        resolved = self.resolved
        if resolved is None or (resolved.recipe is None and not resolved.file):
            return ()
        wrong = resolved.errors.get(setting.key, "")
        if setting.key == "device" and not wrong and self.preview is not None:
            wrong = self.preview.device_problem
        if wrong:
            return line((fit(f"✗ {clean(wrong)}", width).rstrip(), "bad"))
        if setting.key in resolved.overrides:
            own = self.own.get(setting.key) or "its own"
            return line((clean(f"{'file' if resolved.file else 'recipe'}: {own}"), "hand"))
        if resolved.file:
            return line((fit(clean(setting.hint), width).rstrip(), "dim"))
        if setting.key in (DATASET, MODEL):
            return self._names(y, setting, resolved, width)
        return line((_hint(setting, resolved, self.preview), "dim"))

    def _names(self, y: int, setting: Setting, resolved: Resolved, width: int) -> Line:
        """The names that fit, as far as there is room."""
        recipe = resolved.shown or resolved.recipe
        assert recipe is not None
        kind = DATASETS[recipe.dataset.name].kind
        names = [n for n in setting.choices if setting.key == DATASET or kind in MODELS[n].takes]
        chosen = recipe.dataset.name if setting.key == DATASET else resolved.values[MODEL]
        while names[0] != chosen and chosen in names and _width(names) > width:
            del names[0]  # those at the end may be cut off, the chosen one may not
        spans: list[Span] = []
        place = 0
        for name in names:
            if place + len(name) > width - 2:
                spans.append(("…", "dim"))
                break
            spans += [(name, "bold" if name == chosen else "dim"), ("  ", "")]
            self._places[y].append((place, place + len(name), name))
            place += len(name) + 2
        return line(*spans)

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        if place is None or place.y >= len(self._places):
            return
        for start, end, name in self._places[place.y]:
            if start <= place.x < end:
                self.post_message(self.Picked(self._settings[place.y].key, name))


def _width(names: list[str]) -> int:
    return sum(len(name) + 2 for name in names)


def _hint(setting: Setting, resolved: Resolved, preview: Preview | None) -> str:
    recipe = resolved.recipe
    assert recipe is not None
    match setting.key:
        case "epochs":
            return "passes over the data"
        case "batch_size":
            if preview is None or not preview.samples:
                return "samples in a batch"
            batches = -(-preview.samples // recipe.batch_size)
            return f"{counted(batches, 'batch')} an epoch"
        case "optimizer.lr":
            schedule = recipe.scheduler.name
            return "size of an update" if schedule == "none" else f"peak: {schedule}"
        case "optimizer.name" | "scheduler.name":
            return f"↑ ↓ {len(setting.choices) - 1} others"
        case "seed":
            return "of weights and order"
        case "early_stop":
            return "after validations no better"
        case _:
            device = preview.device if preview is not None else ""
            return (
                f"here that is {device}"
                if device and recipe.device == "auto"
                else "auto finds a GPU"
            )


class Form(Vertical):
    """All fields. Posts `Edited` for every change; the screen keeps what was typed."""

    DEFAULT_CSS = """
    Form {
        height: 12; border: round $border; padding: 0 1;
        border-title-color: $text-muted; border-title-style: bold;
        border-subtitle-color: $text-muted;
        overflow-y: auto; scrollbar-size-vertical: 1;
        & > Horizontal { height: 10; }
        & Vertical { width: 18; height: 10; }
        &.-ascii { border: ascii $border; }
    }
    """

    @dataclass
    class Edited(Message):
        """A person has changed a field; an empty text gives the recipe's own value back."""

        key: str
        text: str

    def __init__(
        self,
        settings: tuple[Setting, ...] = SETTINGS,
        *,
        id: str | None = None,
        ascii: bool = False,
    ) -> None:
        super().__init__(id=id)
        self.set_class(ascii, "-ascii", update=False)
        self.border_title = "settings"
        self.labels = Labels(settings, ascii=ascii)
        self.notes = Notes(settings, ascii=ascii)
        recipes = settings is SETTINGS  # the names that a file gives may not do as ids
        self.fields = {
            one.key: Field(one, id=one.key.replace(".", "-") if recipes else None)
            for one in settings
        }

    def compose(self) -> ComposeResult:
        rows = Vertical(*self.fields.values())
        columns = (self.labels, rows, self.notes)
        line_up = Horizontal(*columns)
        if len(self.fields) != len(SETTINGS):
            for one in (*columns, line_up):
                one.styles.height = len(self.fields)
        yield line_up

    def show(self, resolved: Resolved, edits: Mapping[str, str]) -> None:
        """Fill the fields: with what was typed, else with what holds."""
        with self.prevent(Input.Changed):
            for key, widget in self.fields.items():
                held = resolved.values.get(key, "")
                widget.placeholder = clean(held)
                widget.set_class(key in resolved.errors, "-wrong")
                widget.disabled = resolved.recipe is None and not resolved.file
                text = clean(edits.get(key, held))
                if widget.value != text:
                    widget.value = text

    def pending_edits(self, edits: Mapping[str, str], held: Mapping[str, str]) -> dict[str, str]:
        """Values that were typed but whose `Edited` has not arrived yet, by key."""
        shown = {key: clean(edits.get(key, held.get(key, ""))) for key in self.fields}
        return {k: field.value for k, field in self.fields.items() if field.value != shown[k]}

    @on(Input.Changed)
    def _edited(self, event: Input.Changed) -> None:
        event.stop()
        if isinstance(event.input, Field) and event.value == event.input.value:
            self.post_message(self.Edited(event.input.setting.key, event.value))

    @on(Notes.Picked)
    def _picked(self, event: Notes.Picked) -> None:
        event.stop()
        self.fields[event.key].value = event.value

    @property
    def focused_key(self) -> str:
        """The key of the field that has the focus; empty if none has."""
        return self.labels.focused

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.labels.focused = event.widget.setting.key if isinstance(event.widget, Field) else ""
        self.labels.redraw()

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """Unmark the field; one left empty shows the recipe's own value again."""
        self.labels.focused = ""
        self.labels.redraw()
        if isinstance(event.widget, Field) and not event.widget.value.strip():
            with self.prevent(Input.Changed):
                event.widget.value = event.widget.placeholder
