"""The choosing screen, driven by keys and mouse; and pictures of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input

import fivestep.tui
from fivestep.presets import registry
from fivestep.tui.choose import preview
from fivestep.tui.choose import screen as choose
from fivestep.tui.choose.preset_list import PresetList
from fivestep.tui.choose.preview import PreviewRequest
from fivestep.tui.choose.screen import Choice, ChooseScreen
from fivestep.tui.choose.start import CommandLine
from fivestep.tui.render.data_pictures import Preview
from fivestep.tui.widgets.panel import Panel
from fivestep.tui.widgets.theme import DARK, LIGHT, THEMES

from ..conftest import seen

RECIPES = {
    "digits-cnn": ("digits", "cnn", "AdamW", 0.005),
    "digits-mlp": ("digits", "mlp", "AdamW", 0.003),
    "line-linear": ("line", "linear", "SGD", 0.1),
    "spirals-mlp": ("spirals", "mlp", "AdamW", 0.005),
}
INSPECT = cache(preview._inspector)
RECIPE = """
description = "What {0} is, in a sentence."
epochs = 20

[dataset]
name = "{1}"

[model]
name = "{2}"

[optimizer]
name = "{3}"
lr = {4}

[expect]
text = "98.5 % of the digits that it never saw, after 20 epochs: 2 s on 2 cores."
"""


class Chooser(App[None]):
    """The choosing screen alone."""

    CSS_PATH = Path(fivestep.tui.__file__).parent / "app/app.tcss"

    def __init__(self, screen: ChooseScreen | None = None, theme: str = DARK.name) -> None:
        super().__init__()
        self.chooser = screen or ChooseScreen()
        self.first_theme = theme
        self.started: list[Choice] = []
        self.paused = False
        self.copied: list[str] = []

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self.first_theme
        self.push_screen(self.chooser)

    def copy_to_clipboard(self, text: str) -> None:
        self.copied.append(text)

    def on_choose_screen_start(self, event: ChooseScreen.Start) -> None:
        self.started.append(Choice(event.name, event.overrides))
        self.paused = event.paused

    def field(self, name: str) -> Input:
        return self.chooser.query_one(f"#{name}", Input)

    @property
    def command(self) -> str:
        return self.chooser.query_one(CommandLine).command

    def text(self, selector: str) -> str:
        """What a panel shows."""
        panel = self.chooser.query_one(selector, Panel)
        assert panel.failure is None
        rows = range(panel.content_size.height)
        return "\n".join(panel.render_line(y).text for y in rows)


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Recipes of its own, one torch, one device; colours whatever the environment says."""
    for name, values in RECIPES.items():
        (tmp_path / f"{name}.toml").write_text(RECIPE.format(name, *values))
    monkeypatch.setattr(registry, "_HERE", tmp_path)
    monkeypatch.setattr(choose, "HEADSTART", 0.001)
    monkeypatch.setattr(choose, "PATIENCE", 0.001)
    inspector = INSPECT()

    def answer(request: PreviewRequest) -> Preview:
        return replace(inspector(request), torch="2.13.0", device="cpu")

    monkeypatch.setattr(preview, "_inspector", lambda: answer)
    monkeypatch.delenv("NO_COLOR", raising=False)


async def settled(pilot: Pilot[Any]) -> None:
    """Wait until everything that is chosen has been looked at and drawn."""
    app = pilot.app
    assert isinstance(app, Chooser)
    while not (app.chooser.is_mounted and app.chooser.settled):
        await pilot.pause(0.01)
    await pilot.pause()


@asynccontextmanager
async def chooser(screen: ChooseScreen | None = None) -> AsyncIterator[tuple[Chooser, Pilot[Any]]]:
    """The app once it has settled, and its pilot."""
    app = Chooser(screen)
    async with app.run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        yield app, pilot


async def test_it_opens_on_the_default_preset_with_everything_shown() -> None:
    async with chooser() as (app, _):
        assert app.command == f"fivestep train {registry.DEFAULT}"
        assert isinstance(app.focused, PresetList)
        assert "▀▀▀" in app.text("#data")
        assert "Conv2d" in app.text("#model")
        assert "parameters" in app.text("#model")
        assert "torch 2.13.0" in app.text("#banner")
        assert "optimizer.zero_grad()" in app.text("#steps")


async def test_before_torch_is_there_it_says_so_and_can_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preview.Previewer, "start", lambda self: None)
    async with Chooser().run_test(size=(120, 36)) as pilot:
        app = pilot.app
        await pilot.pause()
        assert "loading torch" in app.text("#banner")
        assert "loading torch" in app.text("#data")
        assert "images" in app.text("#data")
        await pilot.press("enter")
        assert app.started == [Choice(registry.DEFAULT, {})]


async def test_space_starts_paused_except_in_a_field_where_it_is_typed() -> None:
    async with chooser() as (app, pilot):
        assert "space start paused" in app.text("#bar")
        await pilot.press("space")
        assert (app.started, app.paused) == ([Choice(registry.DEFAULT, {})], True)
        await pilot.press("tab", "space")
        assert "space start paused" not in app.text("#bar")
        await pilot.press("escape", "enter")
        assert (len(app.started), app.paused) == (2, False)


async def test_down_chooses_the_next_preset() -> None:
    async with chooser() as (app, pilot):
        await pilot.press("down", "down")
        await settled(pilot)
        assert app.command == "fivestep train spirals-mlp"
        assert "arm 1" in app.text("#data")
        assert app.field("dataset-name").value == "spirals"
        await pilot.press("enter")
        assert app.started == [Choice("spirals-mlp", {})]


async def test_a_click_chooses_but_does_not_start() -> None:
    async with chooser() as (app, pilot):
        await pilot.click("#presets", offset=(6, 3))
        await settled(pilot)
        assert app.command == "fivestep train digits-mlp"
        assert not app.started
        await pilot.click("#start")
        assert app.started == [Choice("digits-mlp", {})]


async def test_an_edited_field_is_in_the_command_and_in_the_start() -> None:
    async with chooser() as (app, pilot):
        await pilot.press("tab", "tab", "tab", "5", "tab", "tab", "2")
        assert app.command == "fivestep train digits-cnn --epochs 5 --lr 2.0"
        assert "recipe: 20" in app.text("Notes")
        await pilot.press("enter")
        assert app.started == [Choice("digits-cnn", {"epochs": 5, "optimizer.lr": 2.0})]


async def test_keys_that_come_in_a_burst_lose_nothing() -> None:
    async with chooser() as (app, pilot):
        for key in ("tab", "tab", "tab", "5", "tab", "8", "enter"):
            app.simulate_key(key)
        while not app.started:
            await pilot.pause()
        for key in ("escape", "down", "enter"):
            app.simulate_key(key)
        while len(app.started) < 2:
            await pilot.pause()
        assert app.started == [
            Choice("digits-cnn", {"epochs": 5, "batch_size": 8}),
            Choice("digits-mlp", {}),
        ]


async def test_letters_typed_into_a_field_are_no_commands() -> None:
    async with chooser() as (app, pilot):
        app.field("optimizer-name").focus()
        await pilot.press(*"qdcr?")
        assert app.is_running
        assert app.theme == DARK.name
        assert app.field("optimizer-name").value == "qdcr?"
        assert not app.copied


async def test_the_footer_offers_what_works_where_the_focus_is() -> None:
    async with Chooser().run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        assert "r reset" in pilot.app.text("#bar")
        await pilot.press("tab")
        await settled(pilot)
        offered = pilot.app.text("#bar").split("  ")
        assert " ".join(offered).split() == (
            "enter start ↑ ↓ value tab next field esc presets ctrl+c quit F1 help".split()
        )
        await pilot.press("escape")
        await settled(pilot)
        assert "r reset" in pilot.app.text("#bar")


async def test_what_is_wrong_is_said_at_the_field_and_does_not_start() -> None:
    async with chooser() as (app, pilot):
        app.field("batch_size").focus()
        await pilot.press("x")
        row = app.text("Notes").splitlines()[3]
        assert row.strip().startswith("✗ expected a whole number")
        assert not app.command
        app.chooser.query_one(PresetList).focus()
        await pilot.press("enter")
        assert not app.started
        assert app.focused is app.field("batch_size")
        await pilot.press("ctrl+u", "8")
        assert app.command == "fivestep train digits-cnn --batch-size 8"


async def test_another_data_set_changes_picture_layers_and_what_fits() -> None:
    async with chooser() as (app, pilot):
        app.field("dataset-name").value = "spirals"
        await settled(pilot)
        assert "arm 1" in app.text("#data")
        assert "✗ cnn takes images" in app.text("#model")
        assert "✗ cnn takes images" in app.text("Notes").splitlines()[0]
        app.field("model-name").value = "mlp"
        await settled(pilot)
        assert "✗" not in app.text("#model")
        assert "(B, 2)" in app.text("#model")
        assert app.command == "fivestep train digits-cnn --dataset spirals --model mlp"


async def test_arrow_keys_and_clicks_walk_through_names() -> None:
    async with chooser() as (app, pilot):
        app.field("optimizer-name").focus()
        await pilot.press("down")
        assert app.field("optimizer-name").value == "ASGD"
        await pilot.click("Notes", offset=(2, 1))
        assert app.field("model-name").value == "linear"


async def test_a_missing_device_is_said_at_its_field() -> None:
    screen = ChooseScreen(choice=Choice("digits-cnn", {"device": "cuda:99"}))
    async with chooser(screen) as (app, pilot):
        assert "✗" in app.text("Notes").splitlines()[-2]
        await pilot.press("enter")
        assert not app.started


async def test_edits_stay_with_their_preset_until_reset_and_can_be_copied() -> None:
    async with chooser() as (app, pilot):
        await pilot.press("tab", "tab", "tab", "7", "escape", "down")
        assert app.command == "fivestep train digits-mlp"
        await pilot.press("up")
        assert app.command == "fivestep train digits-cnn --epochs 7"
        await pilot.press("r", "c")
        assert app.command == "fivestep train digits-cnn"
        assert app.copied == [app.command]
        assert app.field("epochs").value == "20"


async def test_keys_for_theme_help_and_quit() -> None:
    async with chooser() as (app, pilot):
        await pilot.press("d")
        assert app.theme == LIGHT.name
        await pilot.press("question_mark")
        await pilot.pause()
        assert app.screen is not app.chooser
        await pilot.press("escape")
        app.field("seed").focus()
        await pilot.press("ctrl+c")
    assert app.return_code == 0


async def test_only_the_newest_wish_is_looked_at() -> None:
    async with chooser() as (app, pilot):
        await pilot.press("down", "down", "up", "end")
        await settled(pilot)
        assert app.command == "fivestep train line-linear"
        assert "┤" in app.text("#data")


async def test_any_size_is_survived() -> None:
    async with Chooser().run_test(size=(1, 1)) as pilot:
        await settled(pilot)
        for size in [(20, 8), (300, 9), (120, 36)]:
            await pilot.resize_terminal(*size)
            await pilot.pause()
        assert "▀▀▀" in pilot.app.text("#data")
        assert all(panel.failure is None for panel in pilot.app.chooser.query(Panel))


async def test_hostile_text_is_shown_and_does_nothing(tmp_path: Path) -> None:
    evil = "[red]x[/] [@click=app.quit]here[/] \\u001b]0;t\\u0007 \\u202e"
    name = str(tmp_path / "[@click=app.quit] [bold.toml")
    Path(name).write_text(RECIPE.format(evil, *RECIPES["line-linear"]).replace("98.5", "[/red]"))
    broken = str(tmp_path / "[red]broken.toml")
    Path(broken).write_text("epochs = '[red]'")
    async with chooser(ChooseScreen([name, broken])) as (app, pilot):
        about = app.text("#about")
        assert "[red]x[/] [@click=app.quit]here[/]" in about.replace("\n", " ")
        assert "\x1b" not in about
        await pilot.press("end")
        await pilot.pause()
        assert "expected" in app.text("#about")
        await pilot.press("enter")
        assert not app.started
        app.field("seed").value = "[/]"


@pytest.mark.parametrize(
    ("size", "theme", "keys"),
    [
        ((80, 24), "dark", ()),
        ((120, 36), "dark", ()),
        ((200, 50), "dark", ()),
        ((120, 36), "light", ("down", "down")),
        ((80, 24), "light", ("tab", "up", "tab", "tab", "x")),
        ((120, 36), "dark", ("question_mark",)),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else value,
)
def test_picture(
    snap_compare: Callable[..., bool], size: tuple[int, int], theme: str, keys: tuple[str, ...]
) -> None:
    async def press(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        await pilot.press(*keys)
        await settled(pilot)
        for field in pilot.app.chooser.query(Input):
            field.cursor_blink = False
        await pilot.pause()

    app = Chooser(theme=f"fivestep-{theme}")
    assert snap_compare(app, terminal_size=size, run_before=press)


FILE = """
def training(lr=0.1, width: int = 32, norm=True, act: Literal["relu", "gelu"] = "relu", über=BASE):
    raise AssertionError("nobody runs this")
"""


async def test_a_python_files_parameters_are_fields(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    screen = ChooseScreen(choice=Choice(str(file), {"width": 8}), file=str(file))
    async with chooser(screen) as (app, pilot):
        fields = screen.form.fields
        own, every = ["lr", "width", "norm", "act", "über"], ["epochs", "seed", "threads"]
        assert list(fields) == [*own, *every, "early_stop", "min_delta"]
        assert [field.value for field in fields.values()] == [
            "0.1", "8", "true", "relu", "BASE", "", "", "", "", ""
        ]  # fmt: skip
        assert app.command == f"fivestep train {file} --set width=8"
        assert "loading" not in app.text("#banner")
        fields["act"].focus()
        await pilot.press("down")
        fields["epochs"].value = "3"
        fields["lr"].value = "fast"
        await settled(pilot)
        assert not app.command
        await pilot.press("enter")
        assert app.focused is fields["lr"]
        assert not app.started
        fields["lr"].value = ""
        await settled(pilot)
        await pilot.press("enter")
        await settled(pilot)
        assert app.started == [Choice(str(file), {"width": 8, "act": "gelu", "epochs": 3})]
        app.chooser.query_one(PresetList).choose("line-linear")
        await settled(pilot)
        assert app.command == "fivestep train line-linear"


@pytest.mark.parametrize("size", [(80, 19), (59, 24), (46, 14)])
async def test_a_small_window_still_has_start_and_settings(size: tuple[int, int]) -> None:
    app = Chooser()
    async with app.run_test(size=size):
        start = app.screen.query_one("#start").region
        assert start.height == 3
        assert app.screen.region.contains_region(start)
        assert "▶ Start" in seen(app)
        assert "lr " in seen(app)
