"""`fivestep explain`: a run's first batches, step by step, as text or as one JSON object."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from ..headless.json_reporter import line
from ..render.format import clean, learned, wrap
from ..terminal.imports import load_torch
from ..terminal.output import FAILED, complain, print_traceback
from .explain_text import explanation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...core.inspection.explain import Batch, Explained
    from ...core.protocol.faults import Fault
    from ..setup.plan import Plan
    from ..terminal.output import Output

WIDEST: Final = 88
"""Cells of a line where no terminal has an end, and at most where one has."""

FIELDS: Final[dict[str, dict[str, str]]] = {
    "explain": {
        "preset": "name of the recipe",
        "data": "the data set, in words",
        "model": "name of the model",
        "parameters": "how many numbers the model can learn",
        "optimizer": "name of the optimizer",
        "seed": "seed of the weights, the order of the batches, and dropout",
        "device": "torch's name of the device, such as cpu or cuda:0",
        "switches": "what was wrong with the loop on purpose: each with label, expect and why",
        "accumulate": "batches whose gradients add up before one update",
        "batches": "see batch",
        "intact": "the same batches with nothing wrong in the loop; null if nothing was",
        "modes": "see modes",
        "failure": "why it ended early, in one line; else null",
    },
    "batch": {
        "epoch": "counted from 1",
        "batch": "counted from 1 in its epoch",
        "features": "each tensor's path (empty if it is the only one), dtype and shape",
        "labels": "the same",
        "outputs": "the same",
        "lr": "learning rate of its update",
        "train_mode": "whether the model was in train mode",
        "loss": "before the update",
        "loss_again": "of the same batch after it, with the same dropout",
        "grad_norm": "norm of all gradients together as the update finds them; null without any",
        "update_ratio": "norm of the update over the norm of all weights; null without an update",
        "against": "cosine between the update and minus the gradient; null where either is zero",
        "phases": "see phase, in the order in which they were taken",
    },
    "phase": {
        "step": "zero_grad, forward, loss, backward, update; everything else scales gradients back "
        "(fp16) and clips them",
        "taken": "false if it was left out on purpose",
        "grad_before": "norm of all gradients together; null without any",
        "grad_after": "the same after it",
        "buffers": "names of the buffers that changed, such as batch norm's averages",
        "layers": "see layer",
    },
    "layer": {
        "name": "qualified, such as features.0",
        "type": "its class",
        "weights": "moved or unchanged",
        "gradients": "cleared, filled, added to, clipped or unchanged",
        "weight_before": "norm of its weights",
        "weight_after": "the same after the phase",
        "grad_before": "norm of its gradients; null without any",
        "grad_after": "the same after the phase",
        "update_ratio": "of an update that was taken, as in batch; else null",
        "against": "the same",
    },
    "modes": {
        "layers": "name and class of dropout, and of norms that keep averages",
        "train_apart": "largest difference between the outputs of two passes in train mode",
        "eval_apart": "the same in eval mode",
        "between": "the same between train and eval mode",
        "train_loss": "of the last batch in train mode",
        "eval_loss": "the same in eval mode",
        "train_moves": "names of the buffers that a pass in train mode changed",
        "eval_moves": "the same in eval mode",
    },
}
"""The object of `--json`, and what is in its lists. Its kind is in the field `type`."""


def explain_plan(
    plan: Plan,
    output: Output,
    batches: int,
    faults: tuple[Fault, ...],
    *,
    json: bool = False,
    show_traceback: bool = False,
) -> int:
    """Build the run, take its first batches step by step, write what happened. Nothing is kept.

    Returns:
        The exit code: 0, or 1 if a step failed; the reason is on stderr then.

    Raises:
        RecipeError: it can't be built.
    """
    load_torch()
    from ...core.inspection.explain import explain
    from ...core.session.session import describe_run

    training = plan.build()
    info = describe_run(training)
    optimizer = type(training.optimizer).__name__
    whole = explain(training, batches, faults)
    intact = explain(plan.build(), batches) if faults else None
    if json:
        output.write(
            line(
                "explain",
                preset=info.name,
                data=info.data,
                model=info.model,
                parameters=info.parameters,
                optimizer=optimizer,
                seed=info.seed,
                device=str(training.device),
                switches=[
                    {"switch": str(i.fault), "label": i.label, "expect": i.expect, "why": i.why}
                    for i in (fault.info for fault in whole.faults)
                ],
                accumulate=whole.accumulate,
                batches=_batches(whole),
                intact=None if intact is None else _batches(intact),
                modes=whole.modes and asdict(whole.modes),
                failure=whole.failure and f"{whole.failure.place}: {whole.failure.reason}",
            )
        )
    else:
        width = min(WIDEST, output.columns) if output.is_terminal else WIDEST
        first = "The first batch" if batches == 1 else f"The first {batches} batches"
        lines = [
            f"{first} of {plan.headline}",
            f"{info.data}; {learned(info.parameters)}",
        ]
        lines = [row for text in lines for row in wrap(clean(text), width)]
        lines += explanation(whole, intact, optimizer, width)
        output.write("".join(clean(row) + "\n" for row in lines))
    if whole.failure is None:
        return 0
    output.flush()
    print_traceback(whole.failure.traceback, show_traceback)
    complain(": ".join(filter(None, (whole.failure.place, whole.failure.reason))))
    return FAILED


def _batches(whole: Explained) -> list[dict[str, Any]]:
    return [_batch(batch) for batch in whole.batches]


def _batch(batch: Batch) -> dict[str, Any]:
    facts = batch.facts
    return {
        "epoch": batch.epoch,
        "batch": batch.number,
        "features": _tensors(facts.features),
        "labels": _tensors(facts.labels),
        "outputs": _tensors(facts.outputs),
        "lr": batch.lr,
        "train_mode": batch.train_mode,
        "loss": batch.loss,
        "loss_again": batch.loss_again,
        "grad_norm": batch.grad_norm,
        "update_ratio": batch.update_ratio,
        "against": batch.against,
        "phases": [
            {
                "step": phase.step.info.name,
                "taken": phase.taken,
                "grad_before": phase.grad_before,
                "grad_after": phase.grad_after,
                "buffers": phase.buffers,
                "layers": [
                    {
                        "name": layer.after.name,
                        "type": layer.after.kind,
                        "weights": layer.weights,
                        "gradients": layer.grads,
                        "weight_before": layer.before.weight_norm,
                        "weight_after": layer.after.weight_norm,
                        "grad_before": layer.before.grad_norm,
                        "grad_after": layer.after.grad_norm,
                        "update_ratio": layer.after.update_ratio if phase.moved else None,
                        "against": layer.after.against if phase.moved else None,
                    }
                    for layer in phase.layers
                ],
            }
            for phase in batch.phases
        ],
    }


def _tensors(facts: Iterable[Any]) -> list[dict[str, Any]]:
    return [asdict(fact) for fact in facts]
