"""Inside a batch, on real runs: what each step does is said, broken loops are undone, runs held."""

from __future__ import annotations

import re
from typing import Any

import pytest
from textual.events import Key
from textual.widgets import Input, OptionList

from fivestep.core.protocol.commands import Show
from fivestep.core.protocol.faults import FAULTS, Fault
from fivestep.core.protocol.steps import State, Step
from fivestep.tui.watch.break_loop import BreakItScreen
from fivestep.tui.watch.breakpoint_dialog import BreakpointsScreen

from ..conftest import FakeSource, picture, seen, watching
from .conftest import Make


async def test_a_walk_through_a_batch_says_what_the_guide_says(run: Make) -> None:
    async with run("moons-mlp", (120, 36)) as at:
        await at.press("i")
        await at.until(lambda: bool(at.screen.snapshot.inside.layers))
        first = await at.through()
        nothing = "zero_grad: there was nothing to clear: no layer has a gradient yet."
        assert first["zero_grad"] == nothing
        said = await at.through()
        layers = sum(row.parameters > 0 for row in at.screen.snapshot.inside.layers)
        assert said["data"].startswith("a batch came: float32 (")
        cleared = f"the gradients of the batch before were cleared in {layers} layers"
        assert said["zero_grad"] == f"zero_grad: {cleared}. No weight moved."
        assert said["forward"].startswith("forward pass: the outputs are float32 (")
        assert said["loss"].startswith("loss: the loss is ")
        filled = f"the gradients of {layers} layers were filled. No weight moved."
        assert said["backward"] == f"backward pass: {filled}"
        moved = f"the weights of {layers} layers moved, against the gradient."
        assert said["update"] == f"update: {moved}"
        while at.screen.snapshot.step is not Step.OTHER:
            await at.step()
        batch = at.screen.snapshot.inside.batch  # its update is made, the batch not over
        assert (batch.batches_done, batch.updates) == (2, 3)


async def test_without_zero_grad_gradients_add_up_and_undo_brings_the_batch_back(run: Make) -> None:
    async with run("moons-mlp", (120, 36)) as at:
        await at.press("i", "b")
        await at.until(lambda: at.screen.snapshot.batches_done == 1)
        await at.press("k")
        assert isinstance(at.app.screen, BreakItScreen)
        expect = FAULTS[Fault.NO_ZERO_GRAD].expect.split(",")[0]
        assert expect in seen(at.app)
        assert "The backward pass adds" not in seen(at.app)
        for key in ("down", "down", "up", "up", "space"):  # in one burst
            at.app.post_message(Key(key, None))
        await at.until(lambda: at.screen.snapshot.faults == (Fault.NO_ZERO_GRAD,))
        at.app.screen.action_close()
        await at.pilot.pause()
        assert "BROKEN ON PURPOSE: zero_grad left out  —  u undoes" in seen(at.app)
        said = await at.through()
        kept = "the gradients of the last batch are still there."
        assert said["zero_grad"] == f"zero_grad (LEFT OUT on purpose): {kept}"
        assert "were added to what was there" in said["backward"]
        await at.step()
        assert "zero_grad()  left out" in seen(at.app)
        await at.step()  # the way back begins in the middle of a batch
        await at.press("k")
        await at.press("u")
        at.app.screen.action_close()
        await at.until(lambda: not at.screen.snapshot.undo)
        assert at.screen.snapshot.batches_done == 1
        assert at.screen.snapshot.state is State.PAUSED
        await at.pilot.pause()
        assert "BROKEN ON PURPOSE" not in seen(at.app)
        assert any("undone: back from batch" in e.text for e in at.screen.messages.entries())
        assert "as they were then; gradients are none until the next backward pass" in seen(at.app)
        await at.press("k")
        at.app.screen.action_turn()
        await at.until(lambda: at.screen.snapshot.undo)
        at.app.screen.action_undo()
        at.app.screen.action_close()
        await at.until(lambda: not at.screen.snapshot.undo)
        told = "undone: no batch was trained meanwhile, the loop is mended"
        assert any(told in e.text for e in at.screen.messages.entries())


async def test_why_it_broke_is_told_once_it_could_be_seen(run: Make) -> None:
    async with run("moons-mlp", (80, 24)) as at:
        await at.press("k")
        at.app.screen.action_turn()
        for done in range(1, 4):
            await at.press("b")
            await at.until(lambda n=done: at.screen.snapshot.batches_done == n)
        await at.until(lambda: at.screen.snapshot.state is State.PAUSED)
        at.app.screen._refresh()
        await at.pilot.pause()
        assert "The backward pass adds" in seen(at.app)
        assert "[x] leave out optimizer.zero_grad()  broken now" in seen(at.app)


async def test_nan_from_a_broken_loop_is_undone_too(run: Make) -> None:
    short = {"epochs": 30, "optimizer.lr": 0.1}
    async with run("line-linear", (120, 36), short, on_nonfinite="ask") as at:
        await at.press("k")
        at.app.screen.query_one(OptionList).highlighted = list(FAULTS).index(Fault.LR_TIMES_100)
        at.app.screen.action_turn()
        at.app.screen.action_close()
        await at.press("space")
        await at.until(lambda: at.screen.snapshot.trouble is not None)
        await at.pilot.pause()
        assert "u undo what was broken on purpose" in seen(at.app)
        await at.press("u")
        await at.until(lambda: at.session.outcome is not None)
        assert at.session.outcome.reason == "30 epochs trained"
        at.screen.tick()
        await at.pilot.pause()
        assert re.search(r"broken on purpose: lr ×100 for batches 1 to \d+, undone", seen(at.app))
        assert at.screen.snapshot.faults == ()
        assert at.screen.snapshot.lr == pytest.approx(0.1)


async def test_the_run_is_asked_for_what_is_seen_and_no_more() -> None:
    source = FakeSource(picture(state=State.PAUSED))
    async with watching(source, (112, 36)) as (app, pilot):
        screen = app.watch_screen

        async def shows(*keys: str) -> list[Any]:
            source.sent.clear()
            for key in keys:
                screen.action_press(key)
                await pilot.pause()
                screen.tick()
            return source.sent

        assert await shows() == []
        assert await shows("i") == [Show(layers=True, batch=True)]
        assert await shows("h") == [Show(layers=True, histograms=True, batch=True)]
        assert await shows("p") == [Show(view="")]  # in the inside's place
        assert await shows("i") == [Show(layers=True, histograms=True, batch=True, view="")]
        assert await shows("p") == [Show(view="")]  # seen again, not the next one
        await pilot.resize_terminal(200, 50)
        await pilot.pause()
        assert source.sent[-1] == Show(batch=True, view="")
        assert (await shows("p"))[-1] == Show(batch=True)
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert source.sent[-1] == Show()
        assert await shows("i", "i", "i") == [
            Show(layers=True, histograms=True, batch=True),
            Show(batch=True),
            Show(),
        ]
        await shows("i")
        assert (await shows("escape"))[-1] == Show()


async def test_a_finished_run_can_be_explored(run: Make) -> None:
    async with run("moons-mlp", (120, 36), {"epochs": 1}) as at:
        await at.press("space")
        await at.until(lambda: at.session.outcome is not None)
        ended = at.session.latest()
        await at.press("p")
        await at.until(lambda: at.screen.snapshot.inside.picture is not None)
        await at.pilot.pause()
        assert "what the model knows: decision map" in seen(at.app)
        await at.press("i")
        await at.until(lambda: bool(at.screen.snapshot.inside.layers))
        await at.pilot.pause()
        assert "as the run has left it" in seen(at.app)
        assert at.screen.snapshot.state is State.FINISHED
        assert at.screen.snapshot.phases == ended.phases
        batch = at.screen.snapshot.inside.batch
        assert (batch.loss, batch.batches_done) == (ended.loss, ended.batches_done)
        await at.press("i", "a")
        await at.until(lambda: "batch 50 of epoch 1: 32 samples" in seen(at.app))
        await at.press("E")
        await at.until(lambda: at.screen.snapshot.inside.view == "epochs")
        await at.until(lambda: "epoch train loss" in seen(at.app))


async def test_histograms_come_while_the_run_is_held(run: Make) -> None:
    async with run("moons-mlp", (110, 36)) as at:
        await at.press("i", "s", "s")
        await at.until(lambda: bool(at.screen.snapshot.inside.differences))
        before = at.screen.snapshot.inside.differences
        await at.press("h")
        await at.until(lambda: at.screen.snapshot.inside.layers[0].weights is not None)
        assert [d.word for d in at.screen.snapshot.inside.differences] == [d.word for d in before]


async def test_pictures_of_what_it_knows_take_turns(run: Make) -> None:
    async with run("moons-mlp", (120, 36)) as at:
        assert "╭─ loss " in seen(at.app)
        await at.press("p")
        await at.until(lambda: at.screen.snapshot.inside.picture is not None)
        await at.pilot.pause()
        assert "what the model knows: decision map" in seen(at.app)
        assert "╭─ loss " not in seen(at.app)
        await at.press("p")
        await at.until(lambda: at.screen.snapshot.inside.view == "confusion")
        await at.pilot.pause()
        assert "what the model knows: confusion matrix" in seen(at.app)
        assert "true ↓ predicted →" in seen(at.app)
        await at.press("p")
        await at.pilot.pause()
        assert "╭─ loss " in seen(at.app)


async def test_a_breakpoint_from_the_screen_holds_the_run(run: Make) -> None:
    async with run("moons-mlp", (120, 36)) as at:
        await at.press("B")
        dialogue = at.app.screen
        assert isinstance(dialogue, BreakpointsScreen)
        assert "norm of all gradients together" in seen(at.app)
        field = dialogue.query_one(Input)
        field.value = "gradnorm > 1"
        await at.pilot.pause()
        assert 'there is no "gradnorm"; did you mean grad_norm?' in seen(at.app)
        await field.action_submit()
        await at.pilot.pause()
        assert dialogue.conditions == []
        for text in ("loss < 0", "batches_done >= 7"):
            field.value = text
            await at.pilot.pause()
            await field.action_submit()
            await at.pilot.pause()
        assert "• batches_done >= 7" in seen(at.app)
        dialogue.action_choose()
        dialogue.query_one(OptionList).highlighted = 0
        await at.pilot.pause()
        for key in ("delete", "escape"):
            at.app.post_message(Key(key, None))
        await at.until(lambda: at.screen.snapshot.breakpoints == ("batches_done >= 7",))
        await at.press("space")
        await at.until(lambda: bool(at.screen.panels.notice.held))
        await at.pilot.pause()
        assert at.screen.snapshot.batches_done == 7
        assert "PAUSED by breakpoint batches_done >= 7 (batches_done 7)" in seen(at.app)
        await at.press("s")
        await at.until(lambda: not at.screen.panels.notice.held)
        assert at.screen.snapshot.state is State.PAUSED


@pytest.mark.parametrize(("lr", "healthy"), [(0.05, True), (40.0, False)])
async def test_a_verdict_appears_where_a_run_goes_wrong_and_nowhere_else(
    run: Make, lr: float, healthy: bool
) -> None:
    overrides = {"epochs": 12, "optimizer.lr": lr}
    async with run("line-linear", (120, 36), overrides, on_nonfinite="ignore") as at:
        await at.press("space")
        await at.until(lambda: at.session.outcome is not None)
        at.screen.tick()
        await at.pilot.pause()
        told = [e.text for e in at.screen.messages.entries() if "Try: " in e.text]
        if healthy:
            assert told == []
            assert not at.screen.panels.verdict.display
            return
        rules = len(at.screen.panels.verdict.verdicts)
        assert len(told) == rules > 0
        verdict = at.screen.panels.verdict.verdicts[0]
        assert f"✗ {verdict.what}" in seen(at.app)
        assert f"try: {verdict.next}" in seen(at.app)
        await at.press("y")
        await at.pilot.pause()
        assert f"danger: {verdict.what}" in seen(at.app)
