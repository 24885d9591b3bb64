"""What is said of a step, of the code that runs, and of what the loop has in its hands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fivestep.core.protocol.faults import FAULTS, Fault
from fivestep.core.protocol.inside import BatchFacts, Difference, Inside, LayerRow, TensorFact
from fivestep.core.protocol.snapshot import Change
from fivestep.core.protocol.steps import State, Step
from fivestep.tui.render.batch import batch_lines
from fivestep.tui.render.faults import change_in_short, in_short
from fivestep.tui.render.narrator import last_step
from fivestep.tui.render.step_summary import StepSummary
from fivestep.tui.widgets.code import CodePanel
from fivestep.tui.widgets.layers import InsidePanel

from ..conftest import INFO, picture, text

NONE = LayerRow("a", "Linear", "2x2", 6, weight_norm=1.0)
FULL = replace(NONE, grad_norm=0.5)
DOWN = replace(FULL, weight_norm=1.1, against=0.7)
BATCH = BatchFacts(
    (TensorFact("", "float32", (32, 1, 8, 8)),),
    (TensorFact("", "int64", (32,)),),
    (TensorFact("", "float32", (32, 10)),),
    2.675,
    None,
    *(0, 2, 2, 64, 2),
)


def difference(
    before: LayerRow, after: LayerRow, weights: Any = "unchanged", grads: Any = "unchanged"
) -> Difference:
    return Difference(before, after, weights, grads)


SAME = difference(FULL, FULL)
EMPTY = difference(NONE, NONE)
FILLED = difference(NONE, FULL, grads="filled")
ADDED = difference(FULL, replace(FULL, grad_norm=0.9), grads="added to")
CLEARED = difference(FULL, NONE, grads="cleared")
CLIPPED = difference(FULL, FULL, grads="clipped")
MOVED = difference(FULL, DOWN, weights="moved")
ALONG = difference(FULL, replace(DOWN, against=-0.1), weights="moved")


@pytest.mark.parametrize(
    ("step", "differences", "on", "said"),
    [
        (Step.ZERO_GRAD, [CLEARED, CLEARED], "", "before were cleared in 2 layers. No weight"),
        (Step.ZERO_GRAD, [EMPTY], "", "zero_grad: there was nothing to clear"),
        (Step.ZERO_GRAD, [SAME], "no-zero-grad", "(LEFT OUT on purpose): the gradients of the"),
        (Step.ZERO_GRAD, [EMPTY], "late-zero-grad", "zero_grad (not here, on purpose): there was"),
        (Step.ZERO_GRAD, [CLEARED], "late-zero-grad", "the backward pass had just computed was"),
        (Step.BACKWARD, [FILLED, EMPTY], "", "the gradients of 1 of 2 layers were filled. No"),
        (Step.BACKWARD, [ADDED], "", "the gradients of 1 layer were added to what was there"),
        (Step.BACKWARD, [SAME], "no-backward", "backward pass (LEFT OUT on purpose): no gradient"),
        (Step.BACKWARD, [EMPTY], "", "no layer got a gradient"),
        (Step.UPDATE, [MOVED, MOVED], "", "the weights of 2 layers moved, against the gradient"),
        (Step.UPDATE, [MOVED, ALONG], "", "of 2 layers moved, 1 of them against the gradient"),
        (Step.UPDATE, [ALONG], "", "carried by momentum or weight decay"),
        (Step.UPDATE, [SAME], "no-step", "update (LEFT OUT on purpose): no weight moved"),
        (Step.UPDATE, [EMPTY], "late-zero-grad", "the optimizer found no gradient to go by"),
        (Step.FORWARD, [EMPTY], "", "the outputs are float32 (32, 10). No weight and no grad"),
        (Step.LOSS, [EMPTY], "", "the loss is 2.675. No weight and no gradient changed"),
        (Step.DATA, [SAME], "", "a batch came: float32 (32, 1, 8, 8)"),
        (Step.OTHER, [SAME], "", "nothing changed in the model"),
        (Step.CLIP, [CLIPPED], "", "clipping: the gradients were shortened"),
        (None, [MOVED], "", "since the last pause: weights of 1 layer moved"),
        (None, [SAME], "", "since the last pause: nothing changed"),
    ],
)
def test_each_step_is_told_in_the_words_of_the_guide(
    step: Step | None, differences: list[Difference], on: str, said: str
) -> None:
    faults = (Fault(on),) if on else ()
    assert said in last_step(step, differences, BATCH, faults)[0]


def test_which_step_was_taken_is_known_only_of_single_steps() -> None:
    exact = Inside(layers=(replace(NONE, editions=(1, 1)),))
    summary = StepSummary()
    for step, batch, taken in (
        (Step.LOSS, 3, None),
        (Step.BACKWARD, 3, Step.LOSS),
        (Step.BACKWARD, 3, Step.LOSS),  # the same picture again
        (Step.CLIP, 3, Step.BACKWARD),
        (Step.UPDATE, 3, Step.CLIP),
        (Step.OTHER, 3, Step.UPDATE),
        (Step.DATA, 4, Step.OTHER),
        (Step.FORWARD, 9, None),
        (Step.UPDATE, 9, None),
    ):
        summary.follow(picture(state=State.PAUSED, step=step, batches_done=batch, inside=exact))
        assert summary.taken is taken, (step, batch)
    assert not summary.went_back
    summary.follow(picture(state=State.PAUSED, step=Step.DATA, batches_done=2, inside=exact))
    assert summary.went_back
    panel = InsidePanel()
    panel.summary, panel.inside = summary, exact
    assert "the run went back" in text(panel.lines(60, 12))


@pytest.mark.parametrize(
    ("fault", "marked"),
    [
        (Fault.NO_ZERO_GRAD, ["✗1 optimizer.zero_grad()  left out"]),
        (
            Fault.LATE_ZERO_GRAD,
            [
                "✗1 optimizer.zero_grad()  left out",
                "✗  yield Step.ZERO_GRAD  misplaced",
                "✗1 optimizer.zero_grad()  misplaced",
            ],
        ),
        (
            Fault.NO_BACKWARD,
            ["✗4 scaler.scale(loss if window == 1 else loss / window).backward()  left out"],
        ),
        (Fault.NO_STEP, ["✗5 scaler.step(optimizer)  left out", "✗  scaler.update()  left out"]),
        (Fault.EVAL_MODE, ["✗  model.train(Fault.EVAL_MODE not in wrong)  left out"]),
        (Fault.LR_TIMES_100, []),
    ],
)
def test_what_a_switch_does_to_the_code_is_marked_in_it(fault: Fault, marked: list[str]) -> None:
    panel = CodePanel(INFO)
    panel.unfolded = True
    panel.on, panel.values, panel.now = (fault,), BATCH, Step.FORWARD
    drawn = text(panel.lines(90, 70))
    rows = [" ".join(row.split()) for row in drawn.splitlines() if row.startswith("✗")]
    assert rows == [" ".join(row.split()) for row in marked]
    assert "features float32 (32, 1, 8, 8)" in drawn
    assert "Fault." in drawn
    panel.on = ()
    assert "Fault." not in text(panel.lines(90, 70))


def test_a_low_code_panel_follows_the_marked_line() -> None:
    panel = CodePanel(replace(INFO, accumulate=4))
    for step in (Step.DATA, Step.ZERO_GRAD, Step.FORWARD, Step.LOSS, Step.BACKWARD, Step.UPDATE):
        panel.now = step
        shown = text(panel.lines(60, 14))
        assert "▶" in shown, step
        assert "features" in shown
        assert len(shown.splitlines()) <= 14


def test_a_nested_batch_is_told_by_its_paths() -> None:
    facts = tuple(TensorFact(f"['part {i}']", "float32", (4, i)) for i in range(5))
    shown = text(batch_lines(replace(BATCH, features=facts, loss=float("nan"), grad_norm=3.0), 60))
    assert "['part 2'] float32 (4, 2)   and 2 more" in shown
    assert "loss     NaN   grad norm 3.000 before clipping" in shown
    assert len(batch_lines(None, 60)) == 5


def test_switches_have_short_names() -> None:
    for fault, info in FAULTS.items():
        broken = Change(0.0, 1, 5, f"broken on purpose: {info.label}", "switch", None, (fault,))
        assert change_in_short(broken) == in_short([fault])
        mended = Change(0.0, 1, 9, f"mended: {info.label}", "switch", None, ())
        assert change_in_short(mended) == "mended"
        assert change_in_short(replace(broken, faults=None)) == "broken on purpose"  # older logs


def test_a_long_table_of_layers_is_paged() -> None:
    panel = InsidePanel()
    panel.inside = Inside(layers=tuple(replace(FULL, name=f"layer.{i}") for i in range(30)))
    first = text(panel.lines(60, 14))
    assert "layer.0 " in first
    assert "more below" in first
    assert "layer.29" not in first
    for _ in range(9):
        panel.scroll(1)
        shown = text(panel.lines(60, 14))
    assert "layer.29" in shown
    assert "more below" not in shown
    for _ in range(9):
        panel.scroll(-1)
    assert text(panel.lines(60, 14)) == first
