"""The choosing screen: which run, on which data, with which settings.

It paints before torch is loaded, and must stay free of torch: what needs torch is asked of a
`Previewer`, whose thread answers with plain numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.geometry import Size
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input

from ...presets import registry
from ...presets.file_settings import said
from ...presets.user_file import ENDING
from ..render.glyphs import ascii_only
from ..widgets.theme import DARK, LIGHT
from .form import Form
from .keys import CHOOSING, ChoosingBar, help_lines
from .panels import (
    LAYOUT,
    LOADING,
    LOOKING,
    AboutPanel,
    Banner,
    DataPanel,
    LayersPanel,
    StepsToCome,
    layout_classes,
)
from .preset_list import PresetList
from .preview import Previewer, PreviewRequest
from .settings import Choice, Resolved, command_line, file_fields, resolve
from .start import CommandLine, StartButton

if TYPE_CHECKING:
    from ..render.data_pictures import Preview

__all__ = ["Choice", "ChooseScreen", "command_line"]

HEADSTART: Final = 0.15
"""Seconds that the first frames have for themselves: loading torch holds the interpreter."""
AT_ONCE: Final = ("ctrl+c", "escape", "tab", "shift+tab")
"""Keys that take effect before the next one is given to the widget with the focus."""
PATIENCE: Final = 0.12
"""Seconds without a change before data and model are looked at again."""


class ChooseScreen(Screen[None]):
    """Presets on the left; on the right their data, model, settings, command and start.

    Args:
        names: presets and paths of recipes to choose from; None takes every preset.
        choice: what is highlighted and changed at first; None is the default preset.
        file: a Python file that stands among them.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(key, f"run('{c.id}')", c.label, show=False, priority=key in AT_ONCE)
            for c in CHOOSING
            for key in c.keys
            if key != "enter"
        )
    ]
    AUTO_FOCUS = "PresetList"
    DEFAULT_CSS = LAYOUT

    @dataclass
    class Start(Message):
        """A run was chosen."""

        name: str
        overrides: Mapping[str, Any]
        paused: bool = False

    @dataclass
    class Previewed(Message):
        """The previewer's answer, from its thread."""

        request: PreviewRequest
        preview: Preview

    def __init__(
        self,
        names: Sequence[str] | None = None,
        choice: Choice | None = None,
        file: str | None = None,
    ) -> None:
        super().__init__()
        known = (preset.name for preset in registry.everything() if not preset.hidden)
        self.names = [*([] if file is None else [file]), *(known if names is None else names)]
        self._ascii = ascii_only()
        self._recipe_form = Form(id="form", ascii=self._ascii)
        self._file_form: Form | None = None
        if file is not None:
            self._file_form = Form(file_fields(file), ascii=self._ascii)
        self.chosen = choice.name if choice is not None else registry.DEFAULT
        """The highlighted preset."""
        self.edits: dict[str, dict[str, str]] = {}
        """What was typed, by preset and key: it is still there on coming back."""
        if choice is not None:
            self.edits[choice.name] = {key: said(value) for key, value in choice.overrides.items()}
        self.resolved = Resolved("")
        self.preview: Preview | None = None
        """Of what is chosen; None while it is being looked at."""
        self._previewer = Previewer(
            lambda request, preview: self.post_message(self.Previewed(request, preview))
        )
        self._request: PreviewRequest | None = None
        self._waiting = LOADING
        self._timer: Timer | None = None
        self._painted = False

    @property
    def form(self) -> Form:
        """The settings of what is chosen."""
        own = self._file_form if self.chosen.endswith(ENDING) else None
        return own or self._recipe_form

    @property
    def settled(self) -> bool:
        """Everything that is chosen is shown: no preview is under way."""
        return self._timer is None and (self.preview is not None or self._request is None)

    def _fit(self, size: Size) -> None:
        for name, wanted in layout_classes(size.width, size.height).items():
            self.set_class(wanted, name)

    def on_resize(self, event: events.Resize) -> None:
        self._fit(event.size)

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Paint at once: for the first picture everything has just been styled."""
        if not self._painted:
            self._painted, event.refresh_styles = True, False

    def compose(self) -> ComposeResult:
        self._fit(self.app.size)  # before there is anything that would have to be styled again
        a = self._ascii
        yield Banner(id="banner", ascii=a)
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield PresetList(self.names, id="presets", ascii=a)
                yield DataPanel(id="small", ascii=a)
                yield StepsToCome(id="steps", ascii=a)
            with Vertical(id="right"):
                yield AboutPanel(id="about", ascii=a)
                with Horizontal(id="look"):
                    yield DataPanel(id="data", ascii=a)
                    yield LayersPanel(id="model", ascii=a)
                yield self._recipe_form
                if self._file_form is not None:
                    yield self._file_form
                with Horizontal(id="go"):
                    yield CommandLine(id="command", ascii=a)
                    yield StartButton(id="start", ascii=a)
        yield ChoosingBar(id="bar", ascii=a)

    def on_mount(self) -> None:
        """Show the first preset, and load torch once that is painted."""
        if self._file_form is not None and "torch" in sys.modules:  # the file has been run
            self.query_one(Banner).torch = f"torch {sys.modules['torch'].__version__}"
        self.query_one(PresetList).choose(self.chosen)
        self._choose(self.chosen)
        self.query_one(ChoosingBar).redraw()
        self.set_timer(HEADSTART, self._previewer.start)

    def on_unmount(self) -> None:
        self._previewer.close()

    def _choose(self, name: str) -> None:
        self._catch_up()
        self.chosen = name
        for form in (self._recipe_form, self._file_form):
            if form is not None:
                form.display = form is self.form
        about = self.query_one(AboutPanel)
        own = resolve(name, {})
        about.original = own.recipe
        self.form.notes.own = own.values
        self._resolve()

    def _catch_up(self) -> None:
        """Take in what was typed an instant ago, before a key that depends on it takes effect."""
        edits = self.edits.get(self.chosen, {})
        pending = self.form.pending_edits(edits, self.resolved.values)
        if pending and self.resolved.name == self.chosen:
            self.edits[self.chosen] = edits | pending
            self._resolve()

    def _resolve(self) -> None:
        """Check what is chosen, show it, and have its data and model looked at if they changed."""
        edits = self.edits.get(self.chosen, {})
        self.resolved = resolved = resolve(self.chosen, edits)
        self.form.show(resolved, edits)
        if resolved.shown is not None or resolved.recipe is None:
            request = (
                None if resolved.shown is None else PreviewRequest(resolved.shown, resolved.fits)
            )
            if request != self._request:
                self._request, self.preview = request, None
                if self._timer is not None:
                    self._timer.stop()
                self._timer = self.set_timer(PATIENCE, self._ask)
        self._draw()

    def _ask(self) -> None:
        self._timer = None
        if self._request is not None:
            self._previewer.ask(self._request)

    def _draw(self) -> None:
        resolved, preview = self.resolved, self.preview
        about, notes, layers = (
            self.query_one(AboutPanel),
            self.form.notes,
            self.query_one(LayersPanel),
        )
        about.resolved = notes.resolved = layers.resolved = resolved
        notes.preview = layers.preview = preview
        about.redraw()
        notes.redraw()
        layers.waiting = self._waiting
        layers.redraw()
        self.form.labels.redraw()
        for panel in self.query(DataPanel):
            panel.waiting = self._waiting
            panel.recipe, panel.preview = (self._request.recipe if self._request else None), preview
            panel.redraw()
        self._show_command()

    def _show_command(self) -> None:
        """Show the command, or what is wrong: first with the field that has the focus."""
        resolved, preview = self.resolved, self.preview
        problem = resolved.complaint(self.form.focused_key)
        problem = problem or (preview.device_problem if preview is not None else "")
        command = "" if resolved.problem else command_line(self.chosen, resolved.overrides)
        self.query_one(CommandLine).show(command, problem)
        self.query_one(StartButton).disabled = bool(problem)

    def on_descendant_focus(self) -> None:
        bar, in_field = self.query_one(ChoosingBar), isinstance(self.focused, Input)
        if bar.in_field is not in_field:
            bar.in_field = in_field
            bar.redraw()
        if self.resolved.problem:
            self._show_command()

    def on_choose_screen_previewed(self, event: Previewed) -> None:
        """Show the preview, unless something else is chosen by now."""
        self._waiting = LOOKING
        banner, torch = self.query_one(Banner), event.preview.torch
        banner.torch = f"torch {torch}" if torch else "no torch"
        banner.redraw()
        if event.request == self._request:
            self.preview = event.preview
            self._draw()

    def on_preset_list_chosen(self, event: PresetList.Chosen) -> None:
        if event.name != self.chosen:
            self._choose(event.name)

    def on_form_edited(self, event: Form.Edited) -> None:
        self.edits.setdefault(self.chosen, {})[event.key] = event.text
        self._resolve()

    def on_preset_list_start(self, event: PresetList.Start) -> None:
        """Enter on a preset: it may have come before the news that this one is highlighted."""
        if event.name != self.chosen:
            self._choose(event.name)
        self.action_run("start")

    @on(Input.Submitted)
    @on(StartButton.Pressed)
    def _start(self, event: Message) -> None:
        event.stop()
        self.action_run("start")

    def on_command_bar_chosen(self, event: ChoosingBar.Chosen) -> None:
        self.action_run(event.command)

    def action_run(self, command: str) -> None:
        match command:
            case "start" | "start_paused":
                self._begin(paused=command == "start_paused")
            case "next_field":
                self.focus_next()
            case "previous_field":
                self.focus_previous()
            case "list":
                self.query_one(PresetList).focus()
            case "reset":
                self.edits.pop(self.chosen, None)
                self._resolve()
            case "copy":
                self.query_one(CommandLine).copy()
            case "theme":
                self.app.theme = LIGHT.name if self.app.theme == DARK.name else DARK.name
            case "shell":
                self.app.action_suspend_process()
            case "help":
                from ..widgets.dialog import TextBox  # late: nobody needs it for the first paint

                self.app.push_screen(TextBox("help", help_lines, ascii=self._ascii))
            case "quit":
                selected = self.get_selected_text()
                if selected:
                    self.app.copy_to_clipboard(selected)
                    self.clear_selection()
                else:
                    self.app.exit()

    def _begin(self, *, paused: bool = False) -> None:
        """Start, or go to the first field that is wrong."""
        self._catch_up()
        form = self.form
        if self.resolved.errors:
            form.fields[next(key for key in form.fields if key in self.resolved.errors)].focus()
        elif self.preview is not None and self.preview.device_problem:
            form.fields["device"].focus()
        elif not self.resolved.problem:
            overrides = dict(self.resolved.overrides)
            self.post_message(self.Start(self.chosen, overrides, paused=paused))
