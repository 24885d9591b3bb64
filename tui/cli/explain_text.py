"""The text of `fivestep explain`: each step, why it is there, and what it did to the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len

from ...core.protocol.faults import Fault
from ...core.protocol.inside import Difference
from ...core.protocol.steps import FIVE, STEPS, Step
from ..render import narrator
from ..render.format import NOTHING, clean, fit, number, share, wrap
from ..render.narrator import tensors

if TYPE_CHECKING:
    from ...core.inspection.explain import Batch, Explained, Modes, Phase

MOST_LAYERS: Final = 8
"""Layers that a table shows; of more, the first and the last ones."""
PASSES: Final = {Step.FORWARD: "forward pass", Step.BACKWARD: "backward pass"}
INDENT: Final = "   "
TABLE_INDENT: Final = " " * 5


def explanation(
    whole: Explained, intact: Explained | None, optimizer: str, width: int
) -> Iterator[str]:
    """All of it, line by line; `intact` are the same batches with nothing wrong in the loop."""
    infos = [fault.info for fault in whole.faults]
    for info in infos:
        yield ""
        yield from wrap(f"Broken on purpose: {info.label}.", width)
        yield from wrap(f"What to expect: {info.expect}", width)
    for i, batch in enumerate(whole.batches):
        yield ""
        yield from _batch(whole, batch, optimizer, width, first=not i)
    if len(whole.batches) > (intact is None):
        yield ""
        yield from overview(whole, intact)
    if whole.modes is not None:
        yield ""
        for line in both_modes(whole.modes):
            yield from _indented(line, width, "", "           " if line[0] == " " else "")
    for info in infos:
        yield ""
        yield from wrap(f"Why ({info.label}): {info.why}", width)


def _batch(
    whole: Explained, batch: Batch, optimizer: str, width: int, *, first: bool
) -> Iterator[str]:
    facts = batch.facts
    shapes = f"features {tensors(facts.features)}, labels {tensors(facts.labels)}"
    yield from wrap(f"Batch {batch.number} of epoch {batch.epoch}: {shapes}", width)
    if batch.phases[0].step is not Step.ZERO_GRAD:
        yield from _not_due(Step.ZERO_GRAD, whole.accumulate, width)
    for i, phase in enumerate(batch.phases):
        explained = first and not (i and phase.step is Step.ZERO_GRAD)
        yield from _phase(whole, batch, phase, optimizer, width, first=explained)
    if batch.phase(Step.UPDATE) is None:
        yield from _not_due(Step.UPDATE, whole.accumulate, width)


def _not_due(step: Step, accumulate: int, width: int) -> Iterator[str]:
    yield _heading(step, "not in this batch")
    yield from _result(f"The gradients of {accumulate} batches add up before one update.", width)


def _phase(
    whole: Explained, batch: Batch, phase: Phase, optimizer: str, width: int, *, first: bool
) -> Iterator[str]:
    step = phase.step
    late = Fault.LATE_ZERO_GRAD in whole.faults and step is Step.ZERO_GRAD
    if step is Step.CLIP:
        yield INDENT + ("scaler.unscale_(optimizer)" if whole.scaled else "clip_grad_norm_()")
    else:
        yield _heading(step, narrator.remark(taken=phase.taken, late=late))
    if first and step in FIVE:
        yield from _indented(step.info.why, width)
    yield from _result(_sentence(whole, batch, phase, optimizer, late=late).in_full, width)
    if step is Step.BACKWARD and phase.graded:
        yield from gradients(phase.layers)
    if step is Step.UPDATE:
        if phase.moved:
            yield from moves(phase.layers)
        yield from _result(_again(whole, batch), width)


def _sentence(
    whole: Explained, batch: Batch, phase: Phase, optimizer: str, *, late: bool
) -> narrator.Sentence:
    layers, taken = phase.layers, phase.taken
    match phase.step:
        case Step.ZERO_GRAD:
            return narrator.zero_grad(layers, taken=taken, late=late)
        case Step.FORWARD:
            return narrator.forward(
                layers, batch.facts, buffers=phase.buffers, train_mode=batch.train_mode
            )
        case Step.LOSS:
            return narrator.loss(layers, batch.loss, buffers=phase.buffers)
        case Step.BACKWARD:
            return narrator.backward(layers, taken=taken, scaled=whole.scaled)
        case Step.UPDATE:
            backward = batch.phase(Step.BACKWARD)
            summed = backward is not None and bool(backward.grad_before)
            size = narrator.UpdateSize(batch.update_ratio, batch.against, summed, optimizer)
            return narrator.update(layers, size, taken=taken)
        case _:
            return narrator.clip(layers, scaled=whole.scaled)


def _heading(step: Step, remark: str) -> str:
    info = STEPS[step]
    beside = remark or PASSES.get(step, "")
    return f"{info.number}  {info.code}" + (f"    {beside}" if beside else "")


def _indented(text: str, width: int, first: str = INDENT, then: str = INDENT) -> Iterator[str]:
    """A paragraph, its first line set in by `first` and the others by `then`."""
    for i, row in enumerate(wrap(text, width - len(then))):
        yield (then if i else first) + row


def _result(text: str, width: int) -> Iterator[str]:
    """What was measured, set off from what is explained."""
    return _indented(text, width, f"{INDENT}> ", f"{INDENT}  ")


def _again(whole: Explained, batch: Batch) -> str:
    before, after = batch.loss, batch.loss_again
    drawn = whole.modes is not None and whole.modes.train_apart > 0 and batch.train_mode
    again = f"The same batch again{', with the same dropout' if drawn else ''}"
    text = f"{again}: loss {number(before)} → {number(after)}"
    if not math.isfinite(after):
        return f"{text}: nothing can be learned any more."
    if number(before) == number(after) and before != after:
        text = f"{again}: loss {before:.7g} → {after:.7g}"
    if after < before:
        return f"{text}, lower."
    if after == before:
        return f"{text}, the same: nothing was learned."
    return f"{text}, higher: the step went too far."


def gradients(layers: Sequence[Difference]) -> Iterator[str]:
    """What the backward pass did to each layer's gradients."""
    rows = [["layer", "type", "gradient"]]
    for layer in layers:
        before, after = layer.before.grad_norm, layer.after.grad_norm
        if layer.after.frozen and after is None:
            change = "frozen"
        elif layer.grads == "unchanged":
            change = "none" if after is None else number(after)
        else:
            change = f"{'none' if before is None else number(before)} → {number(after)}"
        rows.append([layer.after.name, layer.after.kind, change])
    yield from _table(rows)


def moves(layers: Sequence[Difference]) -> Iterator[str]:
    """How far the update moved each layer, and how straight against its gradient."""
    rows = [["layer", "type", "moved by", "cosine"]]
    for layer in layers:
        after = layer.after
        cosine = NOTHING if after.against is None else f"{after.against:.2f}"
        rows.append([after.name, after.kind, share(after.update_ratio), cosine])
    yield from _table(rows)


def _table(rows: list[list[str]], left: int = 2) -> Iterator[str]:
    """Rows in columns, the first `left` of them aligned left; long tables lose their middle."""
    rows = [[clean(cell) for cell in row] for row in rows]
    head, *body = rows
    gap = len(body) - MOST_LAYERS
    if gap > 1:
        body = [*body[: MOST_LAYERS // 2], *body[-(MOST_LAYERS // 2 - 1) :]]
    widths = [max(map(cell_len, column)) for column in zip(head, *body, strict=True)]
    for i, row in enumerate([head, *body]):
        if gap > 1 and i == MOST_LAYERS // 2 + 1:
            yield f"{TABLE_INDENT}… {gap + 1} more"
        cells = [
            fit(cell, size, right=n >= left)
            for n, (cell, size) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"{TABLE_INDENT}{'  '.join(cells)}".rstrip()


def overview(whole: Explained, intact: Explained | None) -> Iterator[str]:
    """Every batch in a line; the broken loop over the intact one."""
    for title, one in (("As it went:", whole), ("With nothing wrong:", intact)):
        if one is None:
            continue
        yield title if intact is not None else "The batches:"
        rows = [["batch", "loss", "the same again", "gradient norm", "weights moved"]]
        rows += [
            [
                str(batch.number),
                number(batch.loss),
                number(batch.loss_again),
                "none" if batch.grad_norm is None else number(batch.grad_norm),
                share(batch.update_ratio),
            ]
            for batch in one.batches
        ]
        yield from _table(rows, left=0)


def both_modes(modes: Modes) -> Iterator[str]:
    """Train mode and eval mode, by what was measured."""
    moved = bool(modes.train_moves)
    if not (modes.between or modes.train_apart or moved):
        yield (
            f"Train mode and eval mode: the outputs are the same, loss {number(modes.eval_loss)}. "
            "Nothing in this model (dropout, batch norm) behaves differently."
        )
        return
    yield "Train mode and eval mode, with the same features twice in each:"
    drawn = ": each time other units are left out" if modes.train_apart else ""
    yield (
        f"  train()  loss {number(modes.train_loss)}; {_twice(modes.train_apart)}{drawn}"
        + ("; averages moved" if moved else "")
    )
    yield (
        f"  eval()   loss {number(modes.eval_loss)}; {_twice(modes.eval_apart)}"
        + ("; buffers moved" if modes.eval_moves else "; nothing moved" if moved else "")
    )
    kinds = ", ".join(dict.fromkeys(kind for _, kind in modes.layers))
    yield (
        f"  Between the modes the outputs differ by up to {number(modes.between)}"
        + (f", because of {kinds}." if kinds else ".")
    )


def _twice(distance: float) -> str:
    if not distance:
        return "the two outputs are the same"
    return f"the two outputs differ by up to {number(distance)}"
