"""The loop as a learner writes it: what a run takes of it, and nothing that watches or steers."""

from __future__ import annotations

from ...core.protocol.faults import Fault
from ...core.protocol.snapshot import RunInfo
from ...core.protocol.steps import Step
from .loop_source import CodeLine, Taken


def written_loop(info: RunInfo) -> tuple[CodeLine, ...]:
    """The lines of a run's loop over epochs and batches, and of its validation.

    Accumulation, clipping, mixed precision and a schedule have lines only where the run has them.
    """
    rows: list[CodeLine] = []

    def add(depth: int, text: str, step: Step | None = None, only: Taken | None = None) -> None:
        rows.append(CodeLine("    " * depth + text, step, only=only))

    def take_batch(depth: int, loop: str, step: Step) -> None:
        add(depth, loop, step)
        if not info.exact_clock:  # it is computed on a GPU
            add(depth + 1, "features = features.to(device)")
            add(depth + 1, "labels = labels.to(device)")

    def predict(depth: int, *steps: Step) -> None:
        forward, loss = steps or (None, None)
        add(depth, "outputs = model(features)", forward)
        add(depth, "loss = criterion(outputs, labels)", loss)

    every, scaled = info.accumulate, info.amp == "fp16"
    number_type = {"bf16": "bfloat16", "fp16": "float16"}.get(info.amp or "")
    add(0, f"for epoch in {f'range({info.epochs})' if info.epochs else '...'}:")
    add(1, "model.train()", only=_unless(Fault.EVAL_MODE))
    loop = "for features, labels in loader:"
    if every > 1:
        loop = "for i, (features, labels) in enumerate(loader):"
    take_batch(1, loop, Step.DATA)
    if every > 1:
        add(2, f"if i % {every} == 0:")
    cleared = _unless(Fault.NO_ZERO_GRAD, Fault.LATE_ZERO_GRAD)
    add(2 + (every > 1), "optimizer.zero_grad()", Step.ZERO_GRAD, cleared)
    if number_type:
        add(2, f"with autocast:  # torch.{number_type}")
    predict(2 + bool(number_type), Step.FORWARD, Step.LOSS)
    loss = f"loss / {every}" if every > 1 else "loss"
    if scaled:
        loss = f"scaler.scale({loss})"
    elif every > 1:
        loss = f"({loss})"
    add(2, f"{loss}.backward()", Step.BACKWARD, _unless(Fault.NO_BACKWARD))
    late = frozenset({Fault.LATE_ZERO_GRAD.name}), True
    add(2, "optimizer.zero_grad()", Step.ZERO_GRAD, late)
    if every > 1:
        add(2, f"if (i + 1) % {every} == 0:  # or the last batch")
    depth = 2 + (every > 1)
    if scaled:
        add(depth, "scaler.unscale_(optimizer)", Step.CLIP)
    if info.clip_norm is not None:
        clip = f"clip_grad_norm_(model.parameters(), {info.clip_norm:g})"
        add(depth, clip, None if scaled else Step.CLIP)
    elif info.foreign and info.clips:
        add(depth, Step.CLIP.info.code, Step.CLIP)
    update = "scaler.step(optimizer)" if scaled else "optimizer.step()"
    add(depth, update, Step.UPDATE, _unless(Fault.NO_STEP))
    if scaled:
        add(depth, "scaler.update()", only=_unless(Fault.NO_STEP))
    moves = info.schedule_moves if info.scheduler else None
    if moves in ("update", "epoch"):
        add(depth if moves == "update" else 1, "scheduler.step()", Step.OTHER)
    if info.validates:
        add(1, "model.eval()")
        add(1, "with torch.no_grad(), autocast:" if number_type else "with torch.no_grad():")
        take_batch(2, "for features, labels in val_loader:", Step.VALIDATE)
        predict(3)
    if moves == "validation":
        add(1, "scheduler.step(val_loss)")
    return tuple(rows)


def _unless(*faults: Fault) -> Taken:
    """What is executed while none of these is on."""
    return frozenset(fault.name for fault in faults), False
