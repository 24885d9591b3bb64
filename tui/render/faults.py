"""Injected faults and breakpoints in words: what to expect, why it happened, short names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from ...core.protocol.faults import Fault
from .format import number
from .layer_table import layer_table
from .narrator import tensors

if TYPE_CHECKING:
    from ...core.protocol.snapshot import Change, Snapshot
    from ...core.session.breakpoints import BreakReport

WIDE: Final = 100
"""Cells of the table of layers where no terminal has an end."""
ROWS: Final = 12
"""Its lines."""


def what_to_expect(faults: Iterable[Fault]) -> Iterator[str]:
    """A line for each fault: what it is, and what to expect of it."""
    for fault in faults:
        info = fault.info
        yield f"broken on purpose: {info.label}. What to expect: {info.expect}"


def why_it_happened(faults: Iterable[Fault]) -> Iterator[str]:
    """A line for each fault: why it did what it did."""
    for fault in faults:
        info = fault.info
        yield f"why ({info.label}): {info.why}"


def break_report(report: BreakReport, room: int | None) -> Iterator[str]:
    """Where a breakpoint ended the run, the newest batch, and the layers, in `room` cells."""
    values = f" ({report.values_text})" if report.values_text else ""
    why = f"breakpoint {report.condition}{values} at" if report.condition else "held at"
    yield f"{why} {report.where}"
    batch = report.batch
    facts = [
        f"{name} {tensors(found)}"
        for name, found in (
            ("features", batch.features),
            ("labels", batch.labels),
            ("outputs", batch.outputs),
        )
        if found
    ]
    if batch.loss is not None:
        facts.append(f"loss {number(batch.loss)}")
    if facts:
        yield f"the newest batch: {', '.join(facts)}"
    width = min(room or WIDE, WIDE)
    rows = [row for row in report.layers if row.weight_norm is not None]
    for row in layer_table(rows, width, ROWS):
        yield "".join(part for part, _ in row).rstrip()


SHORT: Final[dict[Fault, str]] = {
    Fault.NO_ZERO_GRAD: "zero_grad left out",
    Fault.LATE_ZERO_GRAD: "zero_grad after backward",
    Fault.NO_BACKWARD: "backward left out",
    Fault.NO_STEP: "step left out",
    Fault.EVAL_MODE: "model.train() forgotten",
    Fault.LR_TIMES_100: "lr ×100",
}


def in_short(faults: Iterable[Fault]) -> str:
    """The faults' short names: "zero_grad left out, lr ×100"."""
    return ", ".join(SHORT[fault] for fault in faults)


def what_was_broken(s: Snapshot) -> str:
    """What has been broken on purpose, and what of it was undone; "" for nothing."""
    parts = [in_short(s.faults_so_far)] if s.faults_so_far else []
    parts += [
        f"{in_short(one.faults)} for batches {one.first:,} to {one.last:,}, undone"
        for one in s.undone
    ]
    return "; ".join(parts)


def change_in_short(change: Change) -> str:
    """A change of kind "switch" beside a chart: "zero_grad left out", "mended"."""
    if not change.faults:  # or an older fivestep has not kept them
        return change.text.partition(": ")[0]
    return in_short(change.faults)
