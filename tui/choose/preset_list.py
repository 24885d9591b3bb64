"""The presets by task, to be walked through with the arrow keys or the mouse."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ...presets import registry
from ...presets.recipe import Recipe, RecipeError, load
from ...presets.user_file import ENDING
from ..render.format import clean, fit
from ..render.glyphs import plain

TASKS = {
    "classification": "classification",
    "regression": "regression",
    "language-model": "language model",
}


YOUR_FILE = "a Python file"


class PresetList(OptionList):
    """One line a preset under the heading of its task; a click chooses, enter starts."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "start", "Start", show=False)]
    DEFAULT_CSS = """
    PresetList {
        background: $background; border: round $border; padding: 0; height: auto; max-height: 60%;
        border-title-color: $text-muted; border-title-style: bold;
        text-wrap: nowrap; text-overflow: ellipsis; scrollbar-size-vertical: 1;
        &:focus { border: round $primary; background: $background; background-tint: transparent; }
        & > .option-list--option { padding: 0 1; }
        & > .option-list--option-disabled { color: $text-muted; text-style: bold; }
        & > .option-list--option-highlighted {
            background: $panel; color: $foreground; text-style: bold;
        }
        &:focus > .option-list--option-highlighted {
            background: $block-cursor-background; color: $block-cursor-foreground;
            text-style: bold;
        }
        &.-ascii, &.-ascii:focus { border: ascii $border; }
    }
    """

    @dataclass
    class Start(Message):
        """Enter was pressed on a preset."""

        name: str

    @dataclass
    class Chosen(Message):
        """Another preset is highlighted."""

        name: str

    def __init__(self, names: Iterable[str], *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id, markup=False)
        self.set_class(ascii, "-ascii", update=False)
        self.border_title = "presets"
        self._ascii = ascii
        self.names: list[str] = []
        """As shown, from the top."""
        self._rows: dict[int, str] = {}
        self._texts: dict[int, tuple[str, str]] = {}
        self._wide = True
        self._sources = {
            p.name: p.source for p in registry.everything() if p.source and not p.hidden
        }
        """Of presets that are not fivestep's: whose they are."""
        self._fill(list(names))

    def _fill(self, names: list[str]) -> None:
        groups: dict[str, list[tuple[str, Recipe | None]]] = {
            task: [] for task in (YOUR_FILE, *TASKS.values())
        }
        for name in names:
            if name.endswith(ENDING):
                groups[YOUR_FILE].append((name, None))
                continue
            recipe = _recipe(name)
            task = self._sources.get(name) or (TASKS[recipe.task] if recipe is not None else "")
            task = clean(task) if recipe is not None else "can't be used"
            groups.setdefault(task, []).append((name, recipe))
        column = min(20, max((len(clean(name)) for name in names), default=0))
        options: list[Option | None] = []
        for task, members in groups.items():
            if not members:
                continue
            if options:
                options.append(Option("", disabled=True))
            options.append(Option(self._text(task, ""), disabled=True))
            for name, recipe in members:
                pair = f"{recipe.dataset.name} × {recipe.model.name}" if recipe is not None else ""
                self._rows[len(options)] = name
                self.names.append(name)
                text = f"  {fit(clean(name), column)}"
                self._texts[len(options)] = (text, f"  {pair}")
                options.append(Option(self._text(text, f"  {pair}")))
        self.add_options(options)

    def on_resize(self, event: events.Resize) -> None:
        """Data and model are shown beside the names where all of them fit."""
        room = event.size.width - 3
        wide = all(cell_len(text + pair) <= room for text, pair in self._texts.values())
        if wide != self._wide:
            self._wide = wide
            for row, (text, pair) in self._texts.items():
                prompt = self._text(text, pair if wide else "")
                self.replace_option_prompt_at_index(row, prompt)

    def _text(self, text: str, dim: str) -> Content:
        if self._ascii:
            text, dim = plain(text), plain(dim)
        return Content.assemble(text, (dim, "dim"))

    def choose(self, name: str) -> None:
        """Highlight a preset; the first one if there is none of that name."""
        rows = {known: row for row, known in self._rows.items()}
        self.highlighted = rows.get(name, min(self._rows, default=None))

    def action_start(self) -> None:
        name = self._rows.get(-1 if self.highlighted is None else self.highlighted)
        if name is not None:
            self.post_message(self.Start(name))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        name = self._rows.get(event.option_index)
        if name is not None:
            self.post_message(self.Chosen(name))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click has highlighted already; it does not start anything."""
        event.stop()


def _recipe(name: str) -> Recipe | None:
    try:
        return load(name)
    except RecipeError:
        return None
