"""The loop as a learner writes it: what it has of a run, and which of its lines runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fivestep.core.protocol.faults import Fault
from fivestep.core.protocol.inside import BatchFacts
from fivestep.core.protocol.snapshot import RunInfo
from fivestep.core.protocol.steps import FIVE, Step
from fivestep.tui.render.written_loop import written_loop
from fivestep.tui.widgets.code import CodePanel

from ..conftest import INFO, text

VALUES = BatchFacts((), (), (), None, None, 0, 0, 0, 0, 0)
PLAIN = replace(INFO, scheduler=None)
EVERYTHING = replace(
    PLAIN, accumulate=4, amp="fp16", clips=True, clip_norm=1.0, exact_clock=False, scheduler="x"
)


def shown(
    info: RunInfo, now: Step | None, *on: Fault, height: int = 60, panel: CodePanel | None = None
) -> list[str]:
    panel = panel or CodePanel(info)
    panel.now, panel.on = now, on
    return text(panel.lines(70, height)).splitlines()


def loop_of(info: RunInfo) -> list[str]:
    return [row.text for row in written_loop(info) if row.fate(()) != "idle"]


def test_the_plain_loop_is_the_guides() -> None:
    assert loop_of(PLAIN) == [
        "for epoch in range(20):",
        "    model.train()",
        "    for features, labels in loader:",
        *("        " + step.info.code for step in FIVE),
        "    model.eval()",
        "    with torch.no_grad():",
        "        for features, labels in val_loader:",
        "            outputs = model(features)",
        "            loss = criterion(outputs, labels)",
    ]
    assert loop_of(replace(PLAIN, validates=False))[-1] == "        optimizer.step()"


def test_what_else_a_run_does_has_lines_where_it_does_it() -> None:
    assert loop_of(EVERYTHING)[2:22] == [
        "    for i, (features, labels) in enumerate(loader):",
        "        features = features.to(device)",
        "        labels = labels.to(device)",
        "        if i % 4 == 0:",
        "            optimizer.zero_grad()",
        "        with autocast:  # torch.float16",
        "            outputs = model(features)",
        "            loss = criterion(outputs, labels)",
        "        scaler.scale(loss / 4).backward()",
        "        if (i + 1) % 4 == 0:  # or the last batch",
        "            scaler.unscale_(optimizer)",
        "            clip_grad_norm_(model.parameters(), 1)",
        "            scaler.step(optimizer)",
        "            scaler.update()",
        "    scheduler.step()",
        "    model.eval()",
        "    with torch.no_grad(), autocast:",
        "        for features, labels in val_loader:",
        "            features = features.to(device)",
        "            labels = labels.to(device)",
    ]
    rows = loop_of(replace(PLAIN, scheduler="onecycle", schedule_moves="update"))
    assert rows[rows.index("        optimizer.step()") + 1] == "        scheduler.step()"
    waits = replace(PLAIN, scheduler="plateau", schedule_moves="validation")
    assert loop_of(waits)[-1] == "    scheduler.step(val_loss)"


@pytest.mark.parametrize("info", [PLAIN, INFO, EVERYTHING])
@pytest.mark.parametrize("on", [(), *((fault,) for fault in Fault)])
def test_one_line_is_marked_at_each_step(info: RunInfo, on: tuple[Fault, ...]) -> None:
    for step in Step:
        if step is not Step.CLIP or info.clips:
            marked = [row for row in shown(info, step, *on) if row.startswith("▶")]
            assert len(marked) == 1, step
            assert "▶" in "\n".join(shown(info, step, *on, height=9))
    assert not any(row.startswith("▶") for row in shown(info, None, *on))


def test_the_marker_is_in_the_part_that_runs_and_a_lamp_shows_the_mode() -> None:
    rows = shown(PLAIN, Step.FORWARD)
    assert "model.train()  ● train mode" in rows[1]
    assert rows[4].startswith("▶2         outputs = model(features)")
    rows = shown(PLAIN, Step.VALIDATE)
    assert rows[1].strip() == "model.train()"
    assert "model.eval()  ● eval mode" in rows[8]
    assert rows[10].startswith("▶          for features, labels in val_loader:")
    assert "● eval mode" in shown(PLAIN, Step.FORWARD, Fault.EVAL_MODE)[8]  # it never left it


@pytest.mark.parametrize(
    ("fault", "struck"),
    [
        (Fault.NO_ZERO_GRAD, ["✗1 optimizer.zero_grad() left out"]),
        (
            Fault.LATE_ZERO_GRAD,
            ["✗1 optimizer.zero_grad() left out", "✗1 optimizer.zero_grad() misplaced"],
        ),
        (Fault.NO_BACKWARD, ["✗4 loss.backward() left out"]),
        (Fault.NO_STEP, ["✗5 optimizer.step() left out"]),
        (Fault.EVAL_MODE, ["✗ model.train() left out"]),
        (Fault.LR_TIMES_100, []),
    ],
)
def test_what_is_broken_on_purpose_is_struck_out(fault: Fault, struck: list[str]) -> None:
    rows = [" ".join(row.split()) for row in shown(PLAIN, Step.DATA, fault)]
    assert [row for row in rows if row.startswith("✗")] == struck


def test_a_schedule_of_epochs_is_marked_only_behind_the_last_batch() -> None:
    panel = CodePanel(replace(PLAIN, scheduler="cosine", batches_per_epoch=45))
    assert "loader:" in next(r for r in shown(PLAIN, Step.OTHER, panel=panel) if "▶" in r)
    panel.values = replace(VALUES, batch=45)
    marked = next(row for row in shown(PLAIN, Step.OTHER, panel=panel) if "▶" in row)
    assert marked.split() == ["▶", "scheduler.step()"]


def test_the_source_that_is_executed_is_a_key_away() -> None:
    panel = CodePanel(PLAIN)
    assert not any("yield" in row for row in shown(PLAIN, Step.LOSS, panel=panel))
    panel.toggle_source()
    assert any("yield Step.LOSS" in row for row in shown(PLAIN, Step.LOSS, panel=panel))
    panel.toggle_source()
    assert not any("yield" in row for row in shown(PLAIN, Step.LOSS, panel=panel))
