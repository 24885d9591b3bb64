"""The watch screen: keys become commands, and nothing is drawn that has not changed."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
from pictures import until  # tests is on the path
from textual.containers import VerticalScroll
from textual.widgets import Input

from fivestep.core.protocol.commands import (
    Advance,
    KeepGoing,
    Pause,
    Resume,
    ScaleLR,
    Sender,
    SetSpeed,
    Show,
    Stop,
    Validate,
)
from fivestep.core.protocol.diagnosis import VerdictInputs
from fivestep.core.protocol.snapshot import Change, Outcome, Snapshot
from fivestep.core.protocol.steps import State, Step
from fivestep.tui.render import keymap as commands
from fivestep.tui.render.glossary import GLOSSARY
from fivestep.tui.render.keymap import Situation
from fivestep.tui.watch.breakpoint_dialog import BreakpointsScreen
from fivestep.tui.watch.dialogs import AskStop, FailureScreen, HelpScreen, help_lines
from fivestep.tui.watch.pace import (
    BUDGET,
    BYTES,
    CHARTS,
    FASTEST,
    FEW,
    OFTEN,
    SELDOM,
    SLOWEST,
    Drawing,
    Pace,
)
from fivestep.tui.widgets.panel import Panel

from ..conftest import FakeSource, WatchApp, curve, picture, seen, text, watching

HOSTILE = "[/] [@click=app.quit]x[/] \x1b]0;t\x07\x1b[31m\u202e漢字\u0000 {0} %s $accent"


def healthy(app: Any) -> bool:
    return all(panel.failure is None for panel in app.watch_screen.query(Panel))


async def test_a_key_sends_its_command() -> None:
    source = FakeSource(picture())
    async with watching(source) as (_, pilot):
        await pilot.press("space", "s", "b", "e", "x", "less_than_sign", "plus", "minus", "minus")
        assert source.sent == [
            Pause(),
            Advance("phase"),
            Advance("batch"),
            Advance("epoch"),
            Validate(),
            SetSpeed(1000.0),
            ScaleLR(1.0),
            ScaleLR(0.5),
            ScaleLR(0.25),
        ]


async def test_space_goes_on_with_a_paused_run() -> None:
    source = FakeSource(picture(state=State.PAUSED))
    async with watching(source) as (app, pilot):
        assert "PAUSED before backward, batch 32" in seen(app)
        assert "space go on" in seen(app)
        await pilot.press("space")
        assert source.sent == [Resume()]


async def test_leaving_a_run_is_asked_about() -> None:
    after_batch, after_epoch = Stop("stopped by hand", "batch"), Stop("stopped by hand", "epoch")
    source = FakeSource(picture())
    async with watching(source) as (app, pilot):
        for keys, sent in (
            (("q", "b"), [after_batch]),
            (("q", "e"), [after_epoch]),
            (("q", "g"), []),
            (("q", "escape"), []),
            (("q", "down", "enter"), [after_epoch]),
            (("ctrl+c", "ctrl+c"), [after_batch]),
        ):
            await pilot.press(keys[0])
            assert isinstance(app.screen, AskStop)
            await pilot.press(*keys[1:])
            await pilot.pause()
            assert app.screen is app.watch_screen
            assert source.sent == sent
            source.sent.clear()
        assert app.heard == []


async def test_a_stop_can_be_taken_back() -> None:
    source = FakeSource(picture(stopping="epoch"))
    async with watching(source) as (_, pilot):
        await pilot.press("q", "g")
        assert source.sent == [KeepGoing()]


async def test_stop_and_leave_asks_the_app_to_quit() -> None:
    source = FakeSource(picture())
    async with watching(source) as (app, pilot):
        await pilot.press("q", "l")
        await pilot.pause()
        assert source.sent == [Stop("stopped by hand", "batch")]
        assert app.heard == ["quit"]


async def test_when_it_ends_the_screen_stays() -> None:
    source = FakeSource(picture())
    async with watching(source) as (app, pilot):
        source.snapshot = picture(900, state=State.FINISHED, eta=None)
        source.outcome = Outcome(State.FINISHED, "20 epochs trained")
        app.watch_screen.tick()
        await pilot.pause()
        assert "FINISHED  20 epochs trained" in seen(app)
        assert "best accuracy" in seen(app)
        await pilot.press("space", "r", "n", "q")
        await pilot.pause()
        assert source.sent == []
        assert app.heard == ["again", "another", "quit"]


async def test_a_failure_shows_its_traceback_on_a_key() -> None:
    source = FakeSource(picture(state=State.FAILED))
    source.outcome = Outcome(
        State.FAILED, "boom [/red]", "epoch 1, batch 2, forward", "try this", "Trace\n  deep\x1b[2J"
    )
    async with watching(source) as (app, pilot):
        assert "boom [/red]" in seen(app)
        assert "try this" in seen(app)
        await pilot.press("T")
        await pilot.pause()
        assert isinstance(app.screen, FailureScreen)
        assert "  deep" in seen(app)
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is app.watch_screen


async def test_the_traceback_opens_at_the_own_line() -> None:
    frame = '  File "{}/{}.py", line {}, in step\n    call({})\n'
    inside = "/x/site-packages/torch"
    trace = "Traceback (most recent call last):\n" + "".join(
        frame.format(*("/x/y", "mine", 34, "own") if i == 40 else (inside, "deep", i, i))
        for i in range(80)
    )
    source = FakeSource(picture(state=State.FAILED))
    source.outcome = Outcome(
        State.FAILED, "boom", "epoch 1", traceback=trace, line="/x/y/mine.py:34 in step"
    )
    async with watching(source, size=(80, 24)) as (app, pilot):
        assert "where /x/y/mine.py:34 in step, epoch 1" in seen(app)
        await pilot.press("T")
        await pilot.pause()
        await until(pilot, lambda: "call(own)" in seen(app))
        await pilot.press("home")
        await until(pilot, lambda: "boom" in seen(app) and "call(own)" not in seen(app))


async def test_a_failure_before_the_first_picture() -> None:
    source = FakeSource(None)
    source.step = None
    source.outcome = Outcome(State.FAILED, "no data", "", "", "")
    async with watching(source) as (app, _):
        assert "FAILED  no data" in seen(app)
        assert healthy(app)


async def test_steps_are_chosen_by_key_and_mouse_and_let_go() -> None:
    async with watching(FakeSource(picture())) as (app, pilot):
        assert "too fast to follow" in seen(app)
        await pilot.press("down")
        assert "zero_grad: Clears every .grad" in seen(app)
        await pilot.press("escape")
        assert app.watch_screen.panels.steps.selected is None
        await pilot.click("#steps", offset=(10, 3))
        assert app.watch_screen.panels.steps.selected is Step.ZERO_GRAD
        await pilot.click("#bar", offset=(3, 0))
        assert app.watch_screen.source.sent == [Pause()]


async def test_charts_answer_their_keys() -> None:
    async with watching(FakeSource(picture())) as (app, pilot):
        assert "whole run" in seen(app)
        assert "log" not in seen(app)
        await pilot.press("w", "l", "m")
        assert "recent · log · smooth" in seen(app)
        await pilot.press("t")
        assert "validation accuracy" in seen(app)
        assert healthy(app)


async def test_a_log_scale_is_offered_where_it_helps() -> None:
    falling = curve({float(i + 1): 10.0 ** (3 - i / 30) for i in range(200)})
    async with watching(FakeSource(picture(curves=(("loss", falling),)))) as (app, pilot):
        assert "l: log" in seen(app)
        await pilot.press("l")
        assert "log" in seen(app)
        assert "l: log" not in seen(app)


async def test_the_mean_loss_of_each_epoch_is_marked() -> None:
    means = ("epoch_loss", curve({45.0 * (e + 1): 2.0 / (e + 1) for e in range(6)}))
    source = FakeSource(picture(301, curves=(*picture(301).curves[:1], means)))
    async with watching(source) as (app, _):
        assert "■ epoch mean" in seen(app)
        assert seen(app).count("■") == 1 + 6


async def test_messages_are_searched_while_typing() -> None:
    async with watching(FakeSource(picture())) as (app, pilot):
        await pilot.press("slash", *"best")
        assert "messages · 1 with “best”" in seen(app)
        assert "went on" not in seen(app)
        assert app.watch_screen.source.sent == []
        await pilot.press("enter", "space", "escape")
        assert "went on" in seen(app)
        assert app.watch_screen.source.sent == [Pause()]


async def test_narrow_windows_keep_messages_behind_a_key() -> None:
    async with watching(FakeSource(picture()), (80, 24)) as (app, pilot):
        assert "run digits-cnn" not in seen(app)
        assert "last batches" in seen(app)
        assert "▶4 loss.backward()" in seen(app)
        await pilot.press("v")
        await pilot.pause()
        assert "run digits-cnn" in seen(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "▶4 loss.backward()" in seen(app)


@pytest.mark.parametrize("state", [State.RUNNING, State.PAUSED, State.FINISHED])
async def test_nothing_is_drawn_when_nothing_changes(state: State) -> None:
    source = FakeSource(picture(state=state))
    if state.ended:
        source.outcome = Outcome(state, "done")
    app = WatchApp(source)
    written: list[str] = []
    async with app.run_test(size=(120, 36)) as pilot:
        screen = app.watch_screen
        await pilot.pause()
        app._driver.write = written.append
        for _ in range(20):
            source.snapshot = picture(state=state)  # a new object that says the same
            screen.tick()
            await pilot.pause()
        assert written == []


@pytest.mark.parametrize("size", [(120, 36), (80, 24), (200, 50)])
async def test_the_last_batches_move_while_the_chart_waits(size: tuple[int, int]) -> None:
    now = [100.0]
    source = FakeSource(picture(301))
    async with watching(source, size, clock=lambda: now[0]) as (app, pilot):
        await pilot.pause()
        curves = app.watch_screen.panels.curves

        def rows() -> list[str]:
            strips = [curves.render_line(y) for y in range(curves.content_size.height)]
            return [strip.text for strip in strips]

        before = rows()
        chart = len(before) - 1 if len(before) > 3 else 0  # rows of it; a low panel has none
        newer = picture(600)
        source.snapshot = replace(newer, curves=(), loss=0.125)  # it was not asked for curves
        app.watch_screen.tick()
        assert "0.125" in rows()[-1]
        assert rows()[:chart] == before[:chart]
        assert rows()[-1][:-9] != before[-1][:-9]
        source.snapshot = newer
        now[0] += SELDOM
        app.watch_screen.tick()
        assert not chart or rows()[:chart] != before[:chart]
        assert healthy(app)


async def test_changes_by_hand_are_told_once() -> None:
    source = FakeSource(picture(120))
    async with watching(source) as (app, _):
        for done in (120, 301, 301):
            source.snapshot = picture(done)
            app.watch_screen.tick()
        said = [entry.text for entry in app.watch_screen.messages.entries()]
        assert sum("lr ÷2" in text for text in said) == 1
        assert sum("went on" in text for text in said) == 1


async def test_who_has_steered_is_named_where_it_is_somebody_else() -> None:
    changes = tuple(
        Change(0.0, 1, 5, f"lr {lr} by hand", "lr", Sender("ann", pid, "far"))
        for lr, pid in ((0.1, os.getpid()), (0.2, 1))
    )
    async with watching(FakeSource(picture(changes=changes))) as (app, _):
        said = [entry.text for entry in app.watch_screen.messages.entries()]
        assert "lr 0.1 by hand · batch 5" in said
        assert "lr 0.2 by hand (ann, process 1) · batch 5" in said


@pytest.mark.parametrize("size", [(120, 36), (80, 24), (40, 16)])
async def test_a_key_makes_any_panel_fill_the_screen_and_gives_it_back(
    size: tuple[int, int],
) -> None:
    source = FakeSource(picture(state=State.PAUSED))
    async with watching(source, size) as (app, pilot):
        screen = app.watch_screen

        async def press(*keys: str) -> str:
            await pilot.press(*keys)
            screen.tick()
            await pilot.pause()
            return seen(app)

        before = await press()
        panels = screen.panels
        turn = [panel for panel in panels.in_turn if panel is not panels.ranks]  # of one process
        titles = [panel.BORDER_TITLE for panel in turn]
        shown = await press("f")
        for title, after in zip(titles, [*titles[1:], titles[0]], strict=True):
            framed = [row for row in shown.splitlines() if row.startswith("╭─ ")]
            assert [row.startswith(f"╭─ {title}") for row in framed] == [True], shown
            assert shown.splitlines()[-2].startswith("╰─")
            assert turn[titles.index(title)].outer_size.width == size[0]
            shown = await press("tab")
            assert f"╭─ {after}" in shown
        assert f"╭─ {titles[-1]}" in await press("shift+tab")
        assert screen.pages.shown() == Show(view="")
        assert await press("f") == before
        assert f"╭─ {titles[-1]}" in await press("f")
        assert await press("escape") == before
        assert f"╭─ {titles[6]}" in await press("i", "f")
        assert screen.pages.shown().layers
        assert all(p.failure is None for p in screen.query(Panel))


async def test_any_window_size() -> None:
    async with watching(FakeSource(picture()), (1, 1)) as (app, pilot):
        await pilot.pause()
        for size in ((2, 50), (200, 1), (39, 12), (80, 24), (500, 200), (3, 3), (120, 36)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert healthy(app)
        assert "▶4 loss.backward()" in seen(app)


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
async def test_hostile_names_and_messages_do_nothing(size: tuple[int, int]) -> None:
    source = FakeSource(picture())
    names = ("name", "data", "model", "optimizer", "scheduler", "device", "metric_name")
    source.info = replace(source.info, **dict.fromkeys(names, HOSTILE))
    changes = tuple(replace(c, text=HOSTILE) for c in source.snapshot.changes)
    source.snapshot = picture(changes=changes)
    async with watching(source, size) as (app, pilot):
        app.watch_screen.messages.add(HOSTILE * 20, "error")
        source.snapshot = picture(state=State.FAILED)
        source.outcome = Outcome(State.FAILED, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
        app.watch_screen.tick()
        await pilot.press("slash", "[", "/", "]", "enter")
        await pilot.press("T")
        await pilot.pause()
        everything = seen(app)
        assert healthy(app)
        assert "[@click=app.quit]x[/]" in everything
        assert not set(everything) & set("\x1b\x07\x00\u202e")


async def test_a_broken_panel_takes_nothing_down() -> None:
    source = FakeSource(picture())
    async with watching(source) as (app, _):
        source.snapshot = picture(metrics=None)
        app.watch_screen.tick()
        assert "this panel failed: TypeError" in seen(app)
        assert "▶4 loss.backward()" in seen(app)
        source.snapshot = picture()
        app.watch_screen.tick()
        assert "this panel failed" not in seen(app)


async def test_header_and_marker_tell_the_same() -> None:
    source = FakeSource(picture(state=State.VALIDATING, val_batch=3))
    source.step = Step.VALIDATE
    async with watching(source) as (app, _):
        assert "VALIDATING  3/12" in seen(app)
        source.step = Step.BACKWARD
        app.watch_screen.tick(everything=False)
        assert "RUNNING" in seen(app)
        assert "▶4 loss.backward()" in seen(app)
        source.step = Step.VALIDATE
        app.watch_screen.tick(everything=False)
        assert "VALIDATING" in seen(app)
        source.step = Step.OTHER
        app.watch_screen.tick(everything=False)
        assert "VALIDATING" not in seen(app)


@pytest.mark.parametrize(
    ("changes", "key", "answer"),
    [
        ({"state": State.FINISHED}, "s", "s step: the run has ended, r runs it again"),
        ({}, "u", "u undo: nothing is broken on purpose"),
        ({}, "h", "h histograms: for the inside of a batch, which i opens"),
        ({}, "r", "r run again: once the run has ended"),
        ({}, "c", "c save: this run keeps no files"),
    ],
)
async def test_a_key_that_does_nothing_now_says_why(
    changes: dict[str, Any], key: str, answer: str
) -> None:
    source = FakeSource(picture(**changes))
    if changes:
        source.outcome = Outcome(State.FINISHED, "10 epochs trained")
    async with watching(source) as (app, pilot):
        await pilot.press(key)
        await pilot.pause()
        assert answer in " ".join(seen(app).split())
        assert source.sent == []


async def test_ascii_draws_ascii_only() -> None:
    async with watching(FakeSource(picture()), ascii=True) as (app, _):
        assert seen(app).isascii()
        assert ">4 loss.backward()" in seen(app)


async def test_d_changes_between_dark_and_light() -> None:
    async with watching(FakeSource(picture())) as (app, pilot):
        assert app.current_theme.dark
        await pilot.press("d")
        assert not app.current_theme.dark


@pytest.mark.parametrize("width", [72, 106])
def test_help_explains_the_words_on_the_screen(width: int) -> None:
    page = text(help_lines(width))
    for word, meaning in GLOSSARY:
        assert f"\n{word} " in page
        assert meaning.split()[-1] in page
    assert "fivestep explain" in page
    assert max(len(row) for row in page.splitlines()) <= width


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
async def test_the_names_of_breakpoints_are_never_cut(size: tuple[int, int]) -> None:
    names = ("majority_share", "balanced_accuracy")
    async with watching(FakeSource(picture()), size) as (app, pilot):
        await app.push_screen(BreakpointsScreen((), names, lambda conditions: None))
        app.screen.query_one(Input).value = "foo >"
        await pilot.pause()
        said = seen(app).split("foo >")[1].split("another word")[0]
        assert all(name in said for name in names)  # "known: ..." in as many rows as it needs
        app.screen.query_one(VerticalScroll).scroll_end(animate=False)
        await pilot.pause()
        assert "majority_share     the run's own" in seen(app)


async def test_help_and_palette_know_every_command() -> None:
    page = text(help_lines(90))
    assert "ctrl+c, ctrl+c" not in page
    assert "ctrl+c, c…" not in page
    for command in commands.COMMANDS:
        assert command.help in page
        assert command.shown in page
    async with watching(FakeSource(picture())) as (app, pilot):
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("question_mark")
        await pilot.pause()
        await pilot.press("ctrl+p")
        await app.workers.wait_for_complete()
        await pilot.pause()
        page = seen(app)
        applying = commands.applying(Situation(State.RUNNING))
        places = [page.index(f"{c.label}  ({c.shown})") for c in applying[:4]]
        assert places == sorted(places), "not in the table's order"
        await pilot.press(*"halve")
        await app.workers.wait_for_complete()


def test_no_key_means_two_things_at_once() -> None:
    for state in State:
        for narrow in (False, True):
            at = Situation(state, traceback=True, selected=True, narrow=narrow)
            keys = [key for command in commands.applying(at) for key in command.keys]
            assert len(keys) == len(set(keys))


def test_the_footer_gives_way_but_never_loses_the_way_out() -> None:
    for state in State:
        for width in range(20, 200):
            shown = commands.footer(Situation(state, narrow=width < 100), width)
            assert commands.footer_width(shown) <= width or {c.footer for c in shown} == {1}
            assert {"?", "q"} <= {command.shown for command in shown}
            ids = {command.id for command in shown}
            assert ("slower" in ids, "lr_up" in ids) == ("faster" in ids, "lr_down" in ids)
            least = max(command.footer for command in shown)
            left_out = set(commands.applying(Situation(state, narrow=width < 100))) - set(shown)
            assert all(c.footer >= least for c in left_out if c.footer)


def paced(costs: list[float], sizes: list[int], kind: Drawing = "everything") -> list[float]:
    """The intervals after ticks of these costs (seconds of processor time, bytes)."""
    used, sent = [0.0], [0]
    pace = Pace(lambda: used[0], lambda: sent[0])
    found = []
    for cost, size in zip(costs, sizes, strict=True):
        pace.begin()
        pace.drew(kind)
        found.append(pace.interval(kind))
        used[0] += cost
        sent[0] += size
    return found


@pytest.mark.parametrize("kind", BUDGET)
def test_the_frame_rate_gives_way_to_the_run(kind: Drawing) -> None:
    costs = [1.0] * FEW + [0.004] * 20 + [1000.0, *[0.004] * 20]
    intervals = paced(costs, [0] * len(costs), kind)
    assert intervals[: FEW + 1] == [FASTEST] * (FEW + 1)  # what is drawn for the first time
    assert intervals[-1] == pytest.approx(0.004 / BUDGET[kind])
    assert max(intervals) <= SLOWEST


def test_the_marker_does_not_wait_for_what_all_else_costs() -> None:
    used = [0.0]
    pace = Pace(lambda: used[0], lambda: 0)
    for tick in range(40):
        pace.begin()
        pace.drew("everything" if tick % 8 == 0 else "marker")
        used[0] += 0.012 if tick % 8 == 0 else 0.0006
    assert pace.interval("marker") == FASTEST
    assert pace.interval("everything") == pytest.approx(0.012 / BUDGET["everything"])


def test_charts_give_way_to_the_run_on_their_own() -> None:
    cheap, dear = CHARTS * OFTEN / 2, CHARTS * (OFTEN + SELDOM) / 2
    used = [0.0]
    pace = Pace(lambda: used[0], lambda: 0)
    assert pace.charted(cheap, 60.0) == OFTEN
    assert pace.charted(dear, 60.0) == pytest.approx(dear / CHARTS)
    assert pace.charted(1.0, 60.0) == SELDOM
    pace = Pace(lambda: used[0], lambda: 0)
    for _ in range(10):  # what charts take is theirs
        pace.begin()
        pace.charted(dear, 60.0)
        used[0] += dear
    assert pace.interval("everything") == FASTEST


def test_no_chart_of_a_young_run_stays_longer_than_the_run_has_lasted() -> None:
    pace = Pace(lambda: 0.0, lambda: 0)
    waits = [pace.charted(1.0, age) for age in (0.0, 0.5, 0.6, 1.0, 8.0)]
    assert waits == [OFTEN, 0.5, 0.6, SELDOM, SELDOM]


def test_the_frame_rate_gives_way_to_a_slow_line() -> None:
    sizes = [9_999] * FEW + [4 * BYTES] * 8
    assert paced([0.0] * len(sizes), sizes)[-1] == SLOWEST
    assert set(paced([0.0] * 20, [100] * 20)) == {FASTEST}


class Slow(FakeSource):
    """Hands out a picture with new curves only by the call after the one that asked for them."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        self.coming = snapshot
        """What the run is at."""
        self._asked = False

    def latest(self, *, curves: bool = False) -> Snapshot | None:
        if self._asked or self.snapshot is None:
            self.snapshot, self._asked = self.coming, False
        else:
            self.snapshot = replace(self.coming, curves=self.snapshot.curves, facts=None)
        newest, self._asked = self.snapshot, curves
        return newest


async def test_a_chart_is_drawn_from_the_curves_that_were_asked_for() -> None:
    now = [100.0]
    source = Slow(picture(301))
    async with watching(source, clock=lambda: now[0]) as (app, _):
        screen, curves = app.watch_screen, app.watch_screen.panels.curves

        def drawn_after(ticks: int, done: int, **changes: Any) -> float:
            source.coming = picture(done, facts=VerdictInputs(), **changes)
            for _ in range(ticks):
                screen.tick()
            return curves.curves["loss"].x[-1]

        drawn_after(2, 301)
        now[0] += SELDOM
        assert drawn_after(1, 7801) == 301.0  # the newest curves there are, but not those wanted
        assert drawn_after(1, 7900) == 7900.0
        assert drawn_after(2, 7950) == 7900.0  # not due
        assert drawn_after(2, 7960, state=State.PAUSED) == 7960.0
        assert drawn_after(2, 7970) == 7970.0  # resumed
        assert drawn_after(2, 7800) == 7800.0  # undone


async def test_no_chart_is_older_than_a_second_at_full_load() -> None:
    now = [100.0]
    source = Slow(picture(301))
    async with watching(source, clock=lambda: now[0]) as (app, _):
        screen = app.watch_screen
        for tick in range(1, 60):  # nothing but the marker is due
            now[0] += 0.1
            source.coming = picture(301 + 10 * tick)  # 100 batches a second
            screen.tick(everything=False)
            behind = source.coming.batches_done - screen.panels.curves.curves["loss"].x[-1]
            assert behind <= 100
            if behind == 0:  # chart and numbers are drawn from one picture
                assert screen.panels.numbers.snapshot.batches_done == 301 + 10 * tick
