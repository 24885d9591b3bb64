"""What a step did to the numbers, in sentences: for `fivestep explain` and for the watch screen.

In all functions `layers` are those with parameters, before and after the step, and `taken` is False
where a fault leaves the step out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ...core.protocol.faults import Fault
from ...core.protocol.inside import BatchFacts, Difference, LayerRow, TensorFact
from ...core.protocol.steps import Step
from .format import NOTHING, counted, number, share
from .spans import Span

SCALED: Final = "The loss was multiplied first: fp16 would lose small gradients."
OWN_STEP_SIZES: Final = ("Ada", "NAdam", "RAdam", "RMSprop", "Rprop")
"""Beginnings of the names of optimizers that scale each weight's step by itself."""
STRAIGHT: Final = 0.995
"""Cosine from which on an update goes straight against the gradient."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """What a step did."""

    text: str
    """The main sentence, without its full stop."""
    measured: str = ""
    """Goes on with the numbers, where there is room for them."""
    more: str = ""
    """Sentences that follow."""
    style: str = ""

    @property
    def in_full(self) -> str:
        """All of it, with the numbers."""
        return f"{self.text}{self.measured}. {self.more}".strip()


@dataclass(frozen=True, slots=True)
class UpdateSize:
    """The update of all weights together."""

    ratio: float | None
    """Its norm over the norm of the weights."""
    against: float | None
    """Cosine between it and minus the gradient; None where either is zero."""
    summed: bool
    """The gradient is a sum over more than this batch."""
    optimizer: str


def remark(*, taken: bool, late: bool = False) -> str:
    """What is said beside a step that a fault moves or leaves out; "" where nothing is wrong."""
    if late:
        return "TOO LATE, on purpose" if taken else "not here, on purpose"
    return "" if taken else "LEFT OUT on purpose"


def zero_grad(layers: Sequence[Difference], *, taken: bool = True, late: bool = False) -> Sentence:
    """What became of the gradients of the batch before; `late`: after the backward pass."""
    before, after = _grad_norm(d.before for d in layers), _grad_norm(d.after for d in layers)
    if before is None:
        return Sentence("There was nothing to clear: no layer has a gradient yet")
    if not taken:
        kept = "The gradients of the last batch are still there"
        return Sentence(kept, f", their norm is {number(before)}", style="warn")
    cleared = _share(layers, "cleared")
    then = "none" if after is None else number(after)
    measured = f": the norm went from {number(before)} to {then}"
    if late:
        text = f"What the backward pass had just computed was cleared in {cleared}"
        return Sentence(text, measured, style="bad")
    text = f"The gradients of the batch before were cleared in {cleared}"
    return Sentence(text, measured, "No weight moved.", "bold")


def forward(
    layers: Sequence[Difference],
    batch: BatchFacts | None,
    *,
    buffers: Sequence[str] = (),
    train_mode: bool = True,
) -> Sentence:
    """Which outputs came of the forward pass; `buffers` are the names of those that changed."""
    outputs = () if batch is None else batch.outputs
    text = f"The outputs are {tensors(outputs) if outputs else 'there'}"
    mode = "" if train_mode else "The model is in eval mode, although it is being trained. "
    return Sentence(text, more=mode + _nothing_changed(layers, buffers))


def loss(
    layers: Sequence[Difference], value: float | None, *, buffers: Sequence[str] = ()
) -> Sentence:
    """What the criterion gave; `buffers` are the names of those that changed."""
    text = "The loss is there" if value is None else f"The loss is {number(value)}"
    return Sentence(text, more=_nothing_changed(layers, buffers))


def backward(layers: Sequence[Difference], *, taken: bool = True, scaled: bool = False) -> Sentence:
    """Which gradients came of the backward pass; `scaled`: of a multiplied loss (fp16)."""
    before, after = _grad_norm(d.before for d in layers), _grad_norm(d.after for d in layers)
    more = SCALED if scaled else ""
    if not taken:
        kept = "every .grad stays empty" if after is None else "what is in .grad is from before"
        return Sentence(f"No gradient was computed: {kept}", more=more, style="warn")
    if after is None:
        text = "No layer got a gradient: none of them had a part in the loss that can learn"
        return Sentence(text, more=more, style="warn")
    changed = _of(sum(d.grads != "unchanged" for d in layers), len(layers))
    moved = any(d.weights == "moved" for d in layers)
    still = "A weight moved, which is unusual." if moved else "No weight moved."
    more = f"{still} {more}".strip()
    if before:
        measured = f": the norm of all together went from {number(before)} to {number(after)}"
        text = f"The gradients of {changed} were added to what was there"
        return Sentence(text, measured, more, "warn")
    measured = f"; the norm of all together is {number(after)}"
    return Sentence(f"The gradients of {changed} were filled", measured, more, "bold")


def clip(layers: Sequence[Difference], *, scaled: bool = False) -> Sentence:
    """What was done to the gradients between the backward pass and the update.

    `scaled`: they were scaled back, too (fp16).
    """
    before, after = _grad_norm(d.before for d in layers), _grad_norm(d.after for d in layers)
    if before is None:
        return Sentence("There is no gradient to shorten")
    if all(d.grads == "unchanged" for d in layers):
        text = f"The norm of all gradients, {number(before)}, is within the limit: left alone"
        return Sentence(text)
    what = "got their own size back" if scaled else "were shortened"
    measured = f": their norm went from {number(before)} to {number(after)}"
    return Sentence(f"The gradients {what}", measured, style="warn")


def update(
    layers: Sequence[Difference], size: UpdateSize | None = None, *, taken: bool = True
) -> Sentence:
    """How far the weights moved together; without `size`, how many layers moved."""
    if not taken:
        return Sentence("No weight moved, whatever the gradients say", style="warn")
    if _grad_norm(d.before for d in layers) is None:
        text = "Nothing moved: the optimizer found no gradient to go by"
        return Sentence(text, style="warn")
    moved = [d.after for d in layers if d.weights == "moved"]
    if not moved:
        return Sentence("Nothing moved", style="warn")
    if size is not None:
        return Sentence(_how_far(size), style="bold")
    along = sum(row.against is not None and row.against > 0 for row in moved)
    way = ", against the gradient"
    if along < len(moved):
        way = f", {along} of them{way[1:]}" if along else ", carried by momentum or weight decay"
    return Sentence(f"The weights of {_of(len(moved), len(layers))} moved{way}", style="bold")


def _how_far(size: UpdateSize) -> str:
    if size.ratio is None or not math.isfinite(size.ratio):
        return "The weights went out of all bounds: some are NaN or infinite, or were all 0 before"
    text = f"The weights moved by {share(size.ratio)} of their size"
    cosine = size.against
    if cosine is None or math.isnan(cosine):
        return text
    gradient = "the sum in .grad" if size.summed else "the gradient"
    if cosine > STRAIGHT:
        return f"{text}, straight against {gradient} (cosine {cosine:.2f})"
    if size.optimizer.startswith(OWN_STEP_SIZES):
        why = f"{size.optimizer} gives every weight a step size of its own"
    else:
        why = f"{size.optimizer} also goes by more than this gradient, such as momentum"
    way = "against" if cosine > 0 else "along, not against,"
    return f"{text}, {way} {gradient} (cosine {cosine:.2f}; straight would be 1, but {why})"


def last_step(
    step: Step | None,
    differences: Sequence[Difference],
    batch: BatchFacts | None = None,
    faults: Collection[Fault] = (),
) -> Span:
    """What the last step did, in a sentence for the screen, and the style to write it in.

    `step` is None if more than one step was taken since the last pause.
    """
    layers = [d for d in differences if d.after.parameters]
    moved = any(d.weights == "moved" for d in layers)
    words = {d.word for d in layers} - {"unchanged"}
    taken, late, title = True, False, "" if step is None else step.info.name
    match step:
        case Step.ZERO_GRAD:
            taken = "cleared" in words or not {Fault.NO_ZERO_GRAD, Fault.LATE_ZERO_GRAD} & {*faults}
            late = Fault.LATE_ZERO_GRAD in faults
            said = zero_grad(layers, taken=taken, late=late)
        case Step.BACKWARD:
            title = "backward pass"
            taken = bool(words) or Fault.NO_BACKWARD not in faults
            said = backward(layers, taken=taken)
        case Step.UPDATE:
            taken = moved or Fault.NO_STEP not in faults
            said = update(layers, taken=taken)
        case Step.CLIP:
            said = clip(layers)
        case _ if step is None or words:
            return f"since the last pause: {_several(layers)}", "bold" if moved else ""
        case Step.FORWARD:
            title, said = "forward pass", forward(layers, batch)
        case Step.LOSS:
            said = loss(layers, None if batch is None else batch.loss)
        case Step.DATA:
            came = f": {tensors(batch.features)}" if batch is not None and batch.features else ""
            return f"a batch came{came}; nothing changed in the model", ""
        case Step.VALIDATE:
            return "validation only looks: nothing changed in the model", ""
        case _:
            return "counting, moving the schedule: nothing changed in the model", ""
    beside = remark(taken=taken, late=late)
    title += f" ({beside})" if beside else ""
    text = f"{said.text[:1].lower()}{said.text[1:]}. {said.more}".strip()
    return f"{title}: {text}", said.style


def _several(layers: Sequence[Difference]) -> str:
    """Everything that more than one step did."""
    words = [
        f"weights of {some} moved" if word == "moved" else f"gradients of {some} {said}"
        for word, said in (
            ("moved", ""),
            ("filled", "filled"),
            ("added to", "changed"),
            ("cleared", "cleared"),
            ("clipped", "clipped"),
        )
        if (some := _share(layers, word))
    ]
    return "; ".join(words) or "nothing changed"


def _nothing_changed(layers: Sequence[Difference], buffers: Sequence[str]) -> str:
    """What holds for the forward pass and the loss, said of what was measured."""
    if any(d.word != "unchanged" for d in layers):
        return "A weight or a gradient changed, which is unusual for this step."
    text = "No weight and no gradient changed."
    norms = sorted({name.rpartition(".")[0] for name in buffers if "running_" in name})
    if norms:
        return f"{text} Batch norm moved its averages, which are no weights ({_few(norms)})."
    return f"{text} Buffers changed: {_few(buffers)}." if buffers else text


def tensors(facts: Iterable[TensorFact]) -> str:
    """Path, type and shape of each: "float32 (32, 10)"."""
    return ", ".join(f"{fact.path} {fact.text}".strip() for fact in facts) or NOTHING


def _grad_norm(rows: Iterable[LayerRow]) -> float | None:
    """Norm of all gradients together; None without any."""
    norms = [row.grad_norm for row in rows if row.grad_norm is not None]
    return math.hypot(*norms) if norms else None


def _share(layers: Sequence[Difference], word: str) -> str:
    """How many layers a word is said of: "5 layers", "3 of 5 layers"; "" for none."""
    some = sum((d.weights if word == "moved" else d.grads) == word for d in layers)
    return _of(some, len(layers)) if some else ""


def _of(some: int, layers: int) -> str:
    return counted(layers, "layer") if some == layers else f"{some} of {counted(layers, 'layer')}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
