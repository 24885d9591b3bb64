"""Each panel says what a person needs, in every size and for every kind of run."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import pytest

from fivestep.core.protocol.device_reading import DeviceReading
from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.snapshot import Outcome, RunLocation
from fivestep.core.protocol.steps import State, Step
from fivestep.tui.render.loop_source import loop_code
from fivestep.tui.widgets.banners import OutcomePanel
from fivestep.tui.widgets.code import CodePanel
from fivestep.tui.widgets.curves import CurvesPanel
from fivestep.tui.widgets.device import DevicePanel
from fivestep.tui.widgets.messages import KEPT, MessageLog, MessagesPanel
from fivestep.tui.widgets.numbers import NumbersPanel
from fivestep.tui.widgets.status import Header, ProgressBars
from fivestep.tui.widgets.steps import StepsPanel

from ..conftest import INFO, curve, picture, text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "RUNNING"),
        ({"speed": 2.0}, "RUNNING 2 steps/s"),
        ({"state": State.PAUSED}, "PAUSED before backward, batch 32"),
        ({"state": State.PAUSED, "val_batch": 3}, "PAUSED in validation, batch 4"),
        ({"state": State.PAUSED, "step": Step.VALIDATE}, "PAUSED in validation, batch 1"),
        ({"state": State.PAUSED, "step": Step.DATA}, "PAUSED before batch 32"),
        ({"state": State.PAUSED, "step": Step.DATA, "done": 0}, "PAUSED before the first batch"),
        ({"state": State.VALIDATING, "val_batch": 3}, "VALIDATING  3/12"),
        ({"stopping": "epoch"}, "STOPPING after this epoch"),
    ],
)
def test_the_header_says_how_the_run_is_doing(changes: dict[str, Any], words: str) -> None:
    header = Header(INFO)
    header.snapshot = picture(**changes)
    for width in (40, 80, 120):
        assert words in text(header.lines(width, 1))
    assert "1,438 images" in text(header.lines(120, 1))


@pytest.mark.parametrize(
    ("batch", "accumulate", "words"),
    [
        (33, 1, "PAUSED after optimizer.step(), batch 34"),
        (31, 4, "PAUSED after optimizer.step(), batch 32"),
        (32, 4, "PAUSED after loss.backward(), batch 33"),
        (44, 4, "PAUSED after optimizer.step(), batch 45"),
        (45, 1, "PAUSED after batch 45, the last of epoch 7"),
    ],
)
def test_a_pause_behind_an_update_is_told_by_the_last_step(
    batch: int, accumulate: int, words: str
) -> None:
    header = Header(replace(INFO, accumulate=accumulate))
    header.snapshot = picture(state=State.PAUSED, step=Step.OTHER, batch=batch)
    assert words in text(header.lines(80, 1))
    steps = StepsPanel(INFO)
    steps.snapshot, steps.now = header.snapshot, Step.OTHER
    assert "update: The optimizer moves every parameter" in text(steps.lines(64, 14))


def test_an_epoch_that_never_began_is_not_counted_where_a_run_stopped_early() -> None:
    bars = ProgressBars(INFO)
    bars.snapshot = replace(picture(270), state=State.FINISHED)
    epoch, batch = (row.split() for row in text(bars.lines(120, 2)).splitlines())
    assert (epoch[:2], batch[:2]) == (["epoch", "6/20"], ["batch", "45/45"])
    assert "30%" in "".join(epoch)


def test_slow_motion_is_told_in_steps_not_in_a_mean_of_before() -> None:
    bars = ProgressBars(INFO)
    bars.snapshot = picture(speed=2.0)
    shown = text(bars.lines(120, 2))
    assert "steps/s" in shown
    assert "912" not in shown
    assert "batches/s" not in shown


def test_progress_counts_and_stands_still_in_a_pause() -> None:
    bars = ProgressBars(INFO)
    bars.snapshot = picture()
    running = text(bars.lines(120, 2))
    assert "7/20" in running
    assert "32/45" in running
    assert re.search(r"trained +0:20", running), "without the pauses"
    assert "0:41" in running
    assert "29,184 samples/s" in running
    bars.snapshot = picture(state=State.PAUSED, elapsed=500.0)
    assert text(bars.lines(120, 2)) == running


@pytest.mark.parametrize(("batch", "shown"), [(0, ("6/20", "45/45")), (4, ("7/20", "5/45"))])
def test_a_run_that_has_ended_early_is_shown_where_it_was(
    batch: int, shown: tuple[str, str]
) -> None:
    bars = ProgressBars(INFO)
    bars.snapshot = picture(state=State.FINISHED, batch=batch, epoch=7)
    rows = text(bars.lines(120, 2)).splitlines()
    assert [count in row for count, row in zip(shown, rows, strict=True)] == [True, True]


def test_a_length_that_was_only_seen_is_marked_as_such() -> None:
    bars = ProgressBars(replace(INFO, batches_per_epoch=None))
    bars.snapshot = picture(batch=4, batches_per_epoch=12)
    assert "5/~12" in text(bars.lines(100, 2))


def test_progress_is_honest_about_what_is_unknown() -> None:
    bars = ProgressBars(replace(INFO, batches_per_epoch=None))
    bars.snapshot = picture(eta=None, batches_per_second=None, samples_per_second=None)
    epoch, batch = text(bars.lines(120, 2)).splitlines()
    assert "ETA" in batch
    assert "—" in batch
    assert "%" not in batch
    assert "30 %" in epoch


def test_the_steps_show_the_one_that_runs() -> None:
    steps = StepsPanel(INFO)
    steps.snapshot = picture()
    steps.now = Step.FORWARD
    rows = text(steps.lines(64, 14)).splitlines()
    (marked,) = [row for row in rows[1:] if "▶" in row]
    assert marked.startswith("▶2 outputs = model(features)")
    assert "36 %" in marked
    assert "338 µs" in marked
    assert [row[1] for row in rows[2:7]] == ["1", "2", "3", "4", "5"]


def test_shares_of_time_are_told_from_the_first_whole_batch_on() -> None:
    steps, before = StepsPanel(INFO), picture()
    for share, shown in ((0.0, False), (0.08, True)):
        phases = [replace(p, share=share) if p.step is Step.UPDATE else p for p in before.phases]
        steps.snapshot = replace(before, phases=tuple(phases))
        assert ("%" in text(steps.lines(64, 14))) is shown


def test_the_explanation_is_of_the_marked_step_or_says_that_it_moves_too_fast() -> None:
    steps = StepsPanel(INFO)
    steps.now = Step.FORWARD
    steps.snapshot = picture(state=State.PAUSED)
    assert "forward: In the forward pass the batch runs" in text(steps.lines(64, 14))
    steps.snapshot = picture(speed=1.0)
    assert "forward: In the forward pass the batch runs" in text(steps.lines(64, 14))
    steps.snapshot = picture(speed=8.0)
    assert "8 steps a second, too fast to follow" in text(steps.lines(64, 14))
    steps.snapshot = picture()
    shown = text(steps.lines(64, 14))
    assert re.search(r"a batch takes \d+ µs, too fast to follow", shown)
    assert "< slows down" in shown
    assert "the batch runs" not in shown
    steps.selected = Step.LOSS
    assert "loss: One number" in text(steps.lines(64, 14))


@pytest.mark.parametrize("step", [Step.DATA, Step.LOSS, Step.VALIDATE])
def test_the_step_that_failed_or_is_held_is_marked(step: Step) -> None:
    steps = StepsPanel(INFO)
    trouble = Outcome(State.FAILED, "the loss is nan")
    for snapshot in (
        picture(state=State.FAILED, step=step),
        picture(state=State.PAUSED, step=step, trouble=trouble),
    ):
        steps.snapshot = snapshot
        steps.now = step if snapshot.trouble else None
        marked = [row for row in text(steps.lines(64, 14)).split("\n") if row.startswith("✗")]
        assert len(marked) == 1
        assert step.info.code in marked[0]


def test_clipping_that_a_script_is_seen_to_do_has_a_row_and_a_line() -> None:
    script = replace(INFO, foreign=True, epochs=0)
    steps, code = StepsPanel(script), CodePanel(script)
    assert "clip_grad_norm_" not in text(steps.lines(64, 14)) + text(code.lines(64, 30))
    steps.info = code.info = replace(script, clips=True)
    assert "clip_grad_norm_(…)" in text(steps.lines(64, 14))
    assert "clip_grad_norm_(…)" in text(code.lines(64, 30))


def test_queued_phases_are_called_so() -> None:
    steps = StepsPanel(replace(INFO, exact_clock=False))
    steps.snapshot = picture()
    assert "queued now" in text(steps.lines(64, 14))


def test_a_run_without_validation_has_no_row_for_it() -> None:
    bare = replace(INFO, validation_batches=None, validates=False)
    snapshot = picture(val_loss=None, metrics=(), best_metric=None, best_val_loss=None)
    steps, numbers = StepsPanel(bare), NumbersPanel(bare)
    steps.snapshot = numbers.snapshot = snapshot
    assert "validation" not in text(steps.lines(64, 14))
    assert "val loss" not in text(numbers.lines(64, 10))


def test_numbers_stand_in_columns() -> None:
    numbers = NumbersPanel(INFO)
    numbers.snapshot = picture(loss=math.nan)
    shown = text(numbers.lines(64, 7))
    rows = shown.splitlines()
    ends = {row.index(word) + len(word) for row, word in ((rows[0], "now"), (rows[1], "NaN"))}
    assert len(ends) == 1
    assert "schedule × 0.5 by hand" in shown
    assert "91.0 %  epoch 6" in shown


def test_what_rare_classes_are_judged_by_stands_where_there_is_room() -> None:
    numbers = NumbersPanel(INFO)
    metrics = (("accuracy", 0.91), ("balanced_accuracy", 0.5), ("f1", 0.48), ("own", 2.0))
    numbers.snapshot = picture(metrics=(*metrics, ("majority_share", 0.9)))
    large, small = (" ".join(text(numbers.lines(64, h)).split()) for h in (16, 7))
    assert "majority 90.0 %" in large
    assert "balanced acc 50.0 %" in large
    assert "majority" not in small
    assert "own" in small  # a person's own comes first


def test_parameter_groups_have_a_row_and_a_curve_each() -> None:
    numbers, curves = NumbersPanel(INFO), CurvesPanel(INFO)
    lrs = (("body", 1e-5), ("head", 1e-2))
    of_groups = tuple((f"lr {name}", curve({1.0: lr, 90.0: lr / 2})) for name, lr in lrs)
    seen = picture(lr=1e-2, lrs=lrs)
    numbers.snapshot = seen
    rows = [" ".join(row.split()) for row in text(numbers.lines(64, 16)).splitlines()]
    assert rows[rows.index("lr head 0.01") - 1].startswith("lr body 1e-5 schedule")
    assert "lr body 1e-5, head 0.01" in text(numbers.lines(120, 1))
    curves.take(replace(seen, curves=(*seen.curves, *of_groups)))
    while curves.shown != "learning rate":
        curves.next_metric()
    assert "━━ body  ━━ head" in text(curves.lines(60, 16))


def test_numbers_without_a_picture_keep_their_places() -> None:
    assert "train loss           —" in text(NumbersPanel(INFO).lines(64, 7))


def test_the_device_shows_nothing_it_cannot_read() -> None:
    panel = DevicePanel(INFO)
    panel.reading = DeviceReading(name="cpu, 2 cores")
    shown = text(panel.lines(64, 8))
    assert "1 torch thread" in shown
    for absent in ("%", "GiB", "°C", " W", "memory"):
        assert absent not in shown
    panel.reading = replace(
        panel.reading,
        gpu_name="NVIDIA H100",
        gpu_percent=87.0,
        gpu_memory_used=3 * 2**30,
        gpu_memory_total=80 * 2**30,
        temperature=61.0,
        power=312.4,
    )
    shown = text(panel.lines(64, 8))
    for there in ("NVIDIA H100", "87 %", "3.0 GiB of 80.0 GiB", "61 °C", "312 W"):
        assert there in shown


@pytest.mark.parametrize("metric", ["loss", "accuracy", "learning rate", "gradient norm"])
def test_every_metric_can_be_drawn(metric: str) -> None:
    panel = CurvesPanel(INFO)
    panel.take(picture())
    while panel.shown != metric:
        panel.next_metric()
    for panel.recent in (False, True):
        for panel.logarithmic in (False, True):
            panel.smooth = (panel.smooth + 1) % 3
            assert metric in text(panel.lines(60, 16)) or metric == "loss"


def test_a_failed_run_says_what_where_and_what_to_try() -> None:
    panel = OutcomePanel(INFO, RunLocation("runs/7", "fivestep resume 7"))
    panel.snapshot = picture(state=State.FAILED)
    panel.outcome = Outcome(State.FAILED, "the loss is nan", "epoch 7", "lower the lr", "Trace")
    shown = text(panel.lines(100, 10))
    for part in ("FAILED  the loss is nan", "where epoch 7", "try lower the lr", "T traceback"):
        assert part in shown
    assert "kept in runs/7" in shown
    assert "to resume: fivestep resume 7" in shown
    assert "best accuracy 91.0 % in epoch 6" in shown


def test_messages_are_bounded_wrapped_and_searched() -> None:
    log = MessageLog(lambda: 0.0)
    for i in range(KEPT + 500):
        log.add(f"message {i}")
    assert len(log.entries()) == KEPT
    log.add("a needle \x1b[31min\x07 a very long message " + "that goes on " * 10, "warning")
    panel = MessagesPanel(log)
    shown = text(panel.lines(40, 12))
    assert "! a needle in a" in shown
    assert max(len(row) for row in shown.splitlines()) <= 40
    panel.search = "NEEDLE"
    assert "message 2" not in text(panel.lines(40, 12))
    panel.search = "no such thing"
    assert "nothing found" in text(panel.lines(40, 12))


def test_messages_can_be_looked_back_at() -> None:
    log = MessageLog(lambda: 0.0)
    for i in range(50):
        log.add(f"message {i}")
    panel = MessagesPanel(log)
    panel.back = 10
    assert text(panel.lines(40, 5)).splitlines()[-1].endswith("message 39")
    panel.back = 1000
    assert text(panel.lines(40, 5)).splitlines()[0].endswith("message 0")


def test_a_healthy_loop_shows_nothing_of_faults_and_a_broken_one_what_they_do_to_it() -> None:
    healthy = [row.text for row in loop_code("full")]
    assert "model.train()" in healthy
    assert "        optimizer.zero_grad()" in healthy  # as deep as its `if part == 0` asks for
    assert not any("Fault" in row or "wrong" in row for row in healthy)
    assert sum("optimizer.zero_grad()" in row for row in healthy) == 1
    on = (Fault.LATE_ZERO_GRAD, Fault.NO_STEP)
    fates = [(row.text.strip(), row.fate(on)) for row in loop_code("broken")]
    assert fates.count(("optimizer.zero_grad()", "left out")) == 1
    assert fates.count(("optimizer.zero_grad()", "misplaced")) == 1
    assert ("scaler.step(optimizer)", "left out") in fates
    assert ("outputs = model(features)  # (B, ...)", "") in fates


@pytest.mark.parametrize("full", [False, True])
def test_the_unfolded_code_panel_shows_the_loop_that_runs(full: bool) -> None:
    code = loop_code("full" if full else "plain")
    steps = {line.step: line.text.strip() for line in code if line.step is not None}
    assert steps[Step.ZERO_GRAD] == "optimizer.zero_grad()"
    assert steps[Step.FORWARD].startswith("outputs = model(features)")
    assert steps[Step.BACKWARD].endswith("loss.backward()") or full
    assert steps[Step.UPDATE].endswith("optimizer.step()") or full
    panel = CodePanel(replace(INFO, accumulate=4 if full else 1))
    panel.unfolded, panel.now = True, Step.FORWARD
    (marked,) = [row for row in text(panel.lines(60, 60)).splitlines() if row.startswith("▶")]
    assert "outputs = model(features)" in marked


def test_a_message_that_comes_late_stands_where_it_belongs() -> None:
    log = MessageLog(lambda: 100.0)
    log.add("now")
    log.add("a moment before", time=99.0)
    log.add("by a clock that was set back", time=5.0)
    assert [entry.text for entry in log.entries()] == [
        "a moment before",
        "now",
        "by a clock that was set back",
    ]


def test_a_gradient_norm_stands_for_now_only_if_it_is_of_this_batch() -> None:
    panel = NumbersPanel(INFO)
    old = picture(grad_norm_batch=3)
    for s, words in (
        (picture(), "0.4120"),
        (old, "0.4120  in batch 3"),
        (replace(old, state=State.PAUSED), "—"),
    ):
        panel.snapshot = s
        (row,) = [row for row in text(panel.lines(64, 14)).splitlines() if "grad norm" in row]
        assert row.split("grad norm")[1].strip() == words
    panel.snapshot = picture(batch_loss=1.25, state=State.PAUSED)
    assert "1.250" in text(panel.lines(64, 14))
    assert "0.4120" not in text(panel.lines(64, 14))  # of the batch before


def test_the_chart_lets_go_what_was_undone() -> None:
    panel = CurvesPanel(INFO)
    panel.take(picture())
    panel.take(picture(done=0, recent=(), curves=()))
    assert panel.curves == {}
