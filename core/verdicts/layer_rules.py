"""Rules on what goes on inside: layers, labels, modes, and where the time goes.

Thresholds stand beside what was measured, as in `loss_rules`.
"""

from __future__ import annotations

import math

from ..protocol.diagnosis import Verdict, VerdictInputs
from ..protocol.inside import LayerRow
from ..protocol.snapshot import Certainty, RunInfo, Snapshot
from ..protocol.steps import Step
from .loss_stats import LossStats, curve, finite

WINDOWED = 10.0
"""Seconds of training after which the shares of time, taken over five, hold no start-up."""


def _gradients(facts: VerdictInputs) -> dict[str, float]:
    """Norm of the gradients over the norm of the weights by layer, where both are known."""
    return {
        layer.name: layer.grad_norm / layer.weight_norm
        for layer in facts.layers
        if layer.grad_norm is not None and layer.weight_norm and math.isfinite(layer.weight_norm)
    }


def _dead(info: RunInfo, facts: VerdictInputs) -> list[LayerRow]:
    """Layers in which nine of ten units gave 0 for a whole batch; it has to be one of 8 or more.

    Healthy ones had 0.47 at most (32 units for two moons); a learning rate x30, 0.98.
    """
    if info.batch_size is not None and info.batch_size < 8:
        return []
    return [row for row in facts.layers if row.dead_share is not None and row.dead_share >= 0.9]


def _learning(info: RunInfo, s: Snapshot) -> bool:
    """Whether the loss has been halved: what the gradients look like did no harm."""
    left = LossStats(info, s).left
    return left is not None and left < 0.5


def exploding_gradients(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """Gradients far larger than the weights, or than they were."""
    by_layer = _gradients(facts)
    infinite = [name for name, ratio in by_layer.items() if not math.isfinite(ratio)]
    norms = curve(s, "grad_norm")
    bad = (
        infinite
        or (norms is not None and any(norms.bad))
        or (s.grad_norm is not None and not math.isfinite(s.grad_norm))
    )
    why = ""
    if bad:
        where = f" ({infinite[0]})" if infinite else ""
        why = f"a gradient is NaN or infinite{where}"
    elif not _learning(info, s):
        # Healthy: 3.7 times a layer's weights at most, and 4 times the first norms.
        name = max(by_layer, key=lambda name: by_layer[name], default="")
        first = finite(norms.mean[:5]) if norms else []
        if name and by_layer[name] > 100:
            why = f"that of {name} is {by_layer[name]:,.0f} times as large as its weights"
        elif len(first) == 5 and s.grad_norm is not None and s.grad_norm > 100 * max(first) > 0:
            why = f"together they are {s.grad_norm / max(first):,.0f} times as large as at first"
    if not why:
        return None
    return Verdict(
        "exploding gradients",
        "danger",
        "the gradients explode",
        why + ", so that one update can undo all that was learned",
        "clip them (clip_norm = 1), lower the learning rate, bring features and labels to scale",
    )


def vanishing_gradients(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """Some layers get next to nothing of what others get."""
    by_layer = {name: ratio for name, ratio in _gradients(facts).items() if math.isfinite(ratio)}
    if len(by_layer) < 2 or s.batches_done < 20 or _dead(info, facts) or _learning(info, s):
        return None
    least, most = min(by_layer, key=by_layer.__getitem__), max(by_layer.values())
    # Healthy: the least was 0.009 of the most or more; ten sigmoids in a row gave 1e-9.
    if not most or by_layer[least] > 1e-4 * most:
        return None
    share = by_layer[least] / most
    return Verdict(
        "vanishing gradients",
        "warning",
        f"{least} gets next to no gradient",
        f"for its weights, {share:.0e} of what the layer with the most gets: it can't learn",
        "ReLU or GELU for sigmoid and tanh; norms between layers, residual blocks, fewer layers",
    )


def dead_units(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """Most units of a layer give 0 whatever they are shown."""
    rows = _dead(info, facts)
    if not rows or s.batches_done < 20:
        return None
    row = max(rows, key=lambda row: row.dead_share or 0.0)
    return Verdict(
        "dead units",
        "warning",
        f"{row.dead_share:.0%} of the units of {row.name or row.kind} are dead",
        "a ReLU that gives 0 for a whole batch passes no gradient back, so it stays that way",
        "lower the learning rate; start anew with small biases; a norm before it; GELU or SiLU",
    )


def labels_stretched(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """The criterion compares every output with every label."""
    if facts.stretched is None:
        return None
    outputs, labels = facts.stretched
    return Verdict(
        "labels stretched",
        "danger",
        f"outputs {outputs} meet labels {labels}: the loss compares each with every other",
        "broadcast over each other, it does not matter which label belongs to which sample",
        "give both one shape: labels.unsqueeze(1)"
        if len(outputs) > len(labels)
        else "give both one shape: labels.squeeze(1)",
    )


def labels_outside(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """A label names a class that the model has no output for."""
    low, high, classes = facts.label_low, facts.label_high, facts.classes
    if low is None or high is None or classes is None or (low >= 0 and high < classes):
        return None
    return Verdict(
        "labels outside the classes",
        "danger",
        f"labels go from {low} to {high}, but the classes are 0 to {classes - 1}",
        "the criterion fails on such labels, leaves them out, or pulls towards what can't be",
        "count classes from 0, and give the model as many outputs as there are classes",
    )


def validation_trains(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """The validation ran in train mode."""
    if not facts.validation_trains:
        return None
    return Verdict(
        "validation in train mode",
        "warning",
        "the model is in train mode while it is validated",
        "dropout goes on dropping, and batch norm judges by (and learns from) validation data",
        "call model.eval() before the validation, and model.train() before the next epoch",
    )


def data_bound(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """The wait for data is the largest share of training."""
    # Healthy: 0.19 at most once the start is over. From 0.4 on a faster loader is worth it: the
    # run could take 60 % of its time.
    training = {p.step: p.share for p in s.phases if p.step is not Step.VALIDATE}
    total = sum(training.values())
    if s.active < WINDOWED or not total or info.phases[Step.DATA] is Certainty.UNKNOWN:
        return None
    share = training.get(Step.DATA, 0.0) / total
    if share < 0.4 or training[Step.DATA] < max(training.values()):
        return None
    return Verdict(
        "data-bound",
        "note",
        f"{share:.0%} of the training time is waiting for data",
        "the model could learn faster than its batches arrive",
        "DataLoader: num_workers, pin_memory; persistent_workers=True where starting them takes "
        "its time, as of spawned ones; prepare the samples once, not in every epoch",
    )
