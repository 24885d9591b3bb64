"""The newest batch as lines: its tensors' types and shapes, its loss, the counters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...core.protocol.inside import BatchFacts, TensorFact
from .format import NOTHING, clean, counted, fit, number
from .spans import Line, Span, line, whole

NAME_WIDTH = 9
MOST = 3
"""Tensors shown of features, of labels and of outputs each, if they are nested."""


def batch_lines(batch: BatchFacts | None, width: int) -> list[Line]:
    """Shapes and types of features, labels and outputs, the loss, the counters: a line each.
    Without a batch the same lines have no values, so that nothing jumps later.
    """
    loss = None if batch is None else batch.loss
    norm = None if batch is None else batch.grad_norm
    rows = [
        row
        for name in ("features", "labels", "outputs")
        for row in _tensors(name, () if batch is None else getattr(batch, name))
    ]
    spans: list[Span] = [(fit("loss", NAME_WIDTH), "dim"), _value(loss)]
    if norm is not None:
        spans += [("   grad norm ", "dim"), _value(norm), (" before clipping", "dim")]
    rows.append(line(*spans))
    if batch is None:
        return [*rows, line((fit("so far", NAME_WIDTH), "dim"), NOTHING)]
    parts = (
        counted(batch.batches_done, "batch"),
        f", {counted(batch.updates, 'update')}",
        f", {counted(batch.samples_done, 'sample')}",
    )
    done = whole(map(line, parts), width - NAME_WIDTH)  # without the samples, if need be
    return [*rows, (*line((fit("so far", NAME_WIDTH), "dim")), *done)]


def _tensors(name: str, facts: Sequence[TensorFact]) -> list[Line]:
    if not facts:
        return [line((fit(name, NAME_WIDTH), "dim"), (NOTHING, "dim"))]
    rows = [
        line(
            (fit("" if i else name, NAME_WIDTH), "dim"),
            (f"{clean(fact.path)} " if fact.path else "", "dim"),
            clean(fact.text),
        )
        for i, fact in enumerate(facts[:MOST])
    ]
    if len(facts) > MOST:
        rows[-1] = (*rows[-1], (f"   and {len(facts) - MOST} more", "dim"))
    return rows


def _value(value: float | None) -> Span:
    if value is None:
        return NOTHING, "dim"
    return number(value), "bold" if math.isfinite(value) else "bad"
