"""Rules on how the losses go. Each gives a verdict, or None where there is no reason for one.

Thresholds stand beside what was measured: "healthy" is every preset that needs no download, over
several seeds, at forty moments of each run; "broken" are the same presets with one fault each.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from statistics import median

from ..protocol.diagnosis import Verdict, VerdictInputs
from ..protocol.snapshot import RunInfo, Snapshot
from .loss_stats import LossStats, batches_at_zero, curve, finite, highest_lr, lr_at, mean, trend

STARTED = 20
"""Batches before a loss can be said to rise: twenty of a healthy run were 1.2 times as high as its
first ones at most."""
SETTLED = 100
"""Batches, of two epochs or of a thousand batches in one, before a loss can be said not to fall."""


def nonfinite(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """A loss was NaN or infinite."""
    losses = curve(s, "loss") if LossStats(info, s).curve else None
    bad = next((i for i, n in enumerate(losses.bad) if n), None) if losses else None
    now = s.loss is not None and not math.isfinite(s.loss) and losses is not None
    if losses is None or (bad is None and not now):
        return None
    when = "by now" if bad is None else f"by batch {losses.x[bad]:,.0f}"
    return Verdict(
        "non-finite",
        "danger",
        f"the loss became NaN or infinite {when}",
        "one such number in the backward pass, and every weight that it reaches is lost",
        "lower the learning rate, clip the gradients (clip_norm = 1), look for NaN in the data",
    )


def lr_too_high(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """The loss exploded and stayed bad, or is above where it began."""
    losses = LossStats(info, s)
    first, start, now, typical = (
        losses.first(facts.first_loss),
        losses.start,
        losses.now,
        losses.typical,
    )
    if s.batches_done < STARTED or start is None or now is None or typical is None:
        return None
    # Healthy peaks are 2.4 times the first loss at most; lr x1000 made them 20 times and more.
    # What recovers to half of the first loss has been a bad start, no more. The mean is looked at
    # too: where most batches are right for sure and some are wrong for sure, the median is 0.
    exploded = first is not None and losses.peak > 10 * first
    if exploded and first is not None and (typical > 0.5 * first or now > first):
        what = f"the loss exploded from {first:.3g} to {losses.peak:.3g} and is {now:.3g} now"
        limit = 10 * first
    # Healthy runs stay below 1.0 times the start; 1.5 is more than noise does to twenty batches.
    elif typical > 1.5 * start:
        what = f"the loss rose from {start:.3g} to {typical:.3g}"
        limit = 1.5 * start
    else:
        return None
    # A schedule may have come down since.
    batch = losses.first_above(limit)
    lr = f"{lr_at(s, batch):.2g}{_largest(s)}"
    changed = any(change.kind == "lr" and change.batch <= batch for change in s.changes)
    by_hand = f", ×{s.lr_factor:.3g} by hand" if changed and s.lr_factor != 1 else ""
    return Verdict(
        "lr too high",
        "danger",
        what,
        f"each update goes too far, past the valley that it aims at (lr = {lr}{by_hand})",
        "divide the learning rate by 10; warm it up; clip the gradients (clip_norm = 1)",
    )


def lr_zero(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """The learning rate is 0, and has been for longer than a warm-up begins or a schedule ends."""
    batches = batches_at_zero(s, "lr")
    always = batches == s.batches_done
    if s.lr or not batches or (batches < STARTED and not (always and info.scheduler is None)):
        return None
    when = "from the start" if always else f"since batch {s.batches_done - batches + 1:,}"
    by = f" ({info.scheduler})" if info.scheduler else ""
    return Verdict(
        "lr is 0",
        "danger",
        f"the learning rate is 0 {when}",
        f"an update moves each weight by lr times its gradient: none changes{by}",
        "give the optimizer an lr above 0"
        if info.scheduler is None
        else "look at the schedule: is its length counted in updates or epochs, and long enough?",
    )


def lr_zero_in_groups(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """The learning rate of some parameter groups is 0, that of others is not."""
    names = [name for name, _ in s.lrs if batches_at_zero(s, f"lr {name}") >= STARTED]
    if not names or not s.lr:
        return None
    return Verdict(
        "lr is 0 in a group",
        "note",
        f"the learning rate of {', '.join(names)} is 0, of {len(s.lrs)} parameter groups",
        "its weights stay what they are, while those of others learn",
        "if that is meant, requires_grad_(False) saves the time; else give it an lr above 0",
    )


def _largest(s: Snapshot) -> str:
    """Said behind a learning rate, where it is not that of every parameter group."""
    return ", the largest of all parameter groups" if len({lr for _, lr in s.lrs}) > 1 else ""


def _stuck(info: RunInfo, s: Snapshot) -> LossStats | None:
    """The losses, if there was time to learn and hardly any of it was used.

    After 100 batches of two epochs, healthy runs had 0.69 of their first losses at most; with
    lr x0.01 it was 0.87 and more.
    """
    losses = LossStats(info, s)
    epochs_done = s.last.epoch if s.last else 0
    if s.batches_done < SETTLED or (epochs_done < 2 and s.batches_done < 10 * SETTLED):
        return None
    if losses.left is None or losses.left < 0.85 or len(losses.recent) < STARTED:
        return None
    return None if _warming_up(s) or _learned(info, s) else losses


def _warming_up(s: Snapshot) -> bool:
    """Whether the schedule is still on its way up: what it leads to has not been tried."""
    lrs = curve(s, "lr")
    highs = finite(lrs.high) if lrs else []
    return len(highs) > 1 and highs[-1] == max(highs) > highs[0]


def _learned(info: RunInfo, s: Snapshot) -> bool:
    """Whether the validation says that the model is good: it may have begun as a trained one."""
    metric = s.metrics[0][1] if s.metrics else None
    good = {"accuracy": 0.8, "r2": 0.5}.get(info.metric_name)
    return metric is not None and good is not None and metric >= good


def _update_ratio(s: Snapshot, facts: VerdictInputs) -> float | None:
    """The layers' median, as it would be at the schedule's peak; None near its end. Of parameter
    groups, of those alone whose learning rate is the largest: others are small on purpose.
    """
    large = {name for name, lr in s.lrs if lr >= 0.5 * s.lr}
    layers = [layer for layer in facts.layers if not layer.groups or layer.groups & large]
    ratios = finite(tuple(layer.update_ratio for layer in layers))
    peak = highest_lr(s)
    if not ratios or s.lr < 0.01 * peak:  # the last updates are small by intent, down to nothing
        return None
    return median(ratios) * (peak / s.lr if s.lr else 1.0)


def lr_too_low(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """The loss falls, but far too slowly, and updates are small."""
    losses, ratio = _stuck(info, s), _update_ratio(s, facts)
    if losses is None or losses.left is None:
        return None
    change, error = trend(finite(s.recent))
    # Healthy updates are about 1e-3 of the weights until a schedule ends; lr x0.01 made it 2e-4.
    if ratio is not None and 0 < ratio < 3e-4:
        why = f"an update changes the weights by {ratio:.0e} of their size; about 1e-3 is usual"
    # Labels dealt out at random left 0.97 of the start: that is overfitting, one by one.
    elif ratio != 0 and losses.left < 0.97 and change < -2 * error:
        why = f"it falls steadily, but far too slowly (lr = {highest_lr(s):.2g}{_largest(s)})"
    else:
        return None
    return Verdict(
        "lr too low",
        "note",
        f"the loss still is {losses.left:.0%} of what it was at the start",
        why,
        "multiply the learning rate by 10; if it then falls as steadily, do so again",
    )


def not_falling(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """The loss is where it began, and it isn't the learning rate for all that is known."""
    losses, ratio = _stuck(info, s), _update_ratio(s, facts)
    if losses is None or losses.left is None or losses.now is None:
        return None
    why = f"after {s.batches_done:,} batches it still is {losses.left:.0%} of what it was"
    if ratio == 0:
        return Verdict(
            "not falling",
            "warning",
            f"the loss does not fall: {losses.now:.3g}",
            "the updates change no weight",
            "check that loss.backward() and optimizer.step() run, and that lr is above 0",
        )
    return Verdict(
        "not falling",
        "warning",
        f"the loss does not fall: {losses.now:.3g}",
        f"{why}: the features seem to tell nothing of the labels",
        "try lr ×10 and ÷10; check that labels belong to their features, and whose parameters move",
    )


def no_better_than_majority(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """A classifier that has found nothing but which class is the largest."""
    metrics, best, classes = dict(s.metrics), s.best_metric, facts.validation_classes
    share, balanced = metrics.get("majority_share"), metrics.get("balanced_accuracy")
    if info.task != "classification" or share is None or balanced is None or best is None:
        return None
    validations = curve(s, "val_metric")
    if s.batches_done < SETTLED or validations is None or len(validations.x) < 3:
        return None
    # Who finds rare classes at the price of some accuracy is no worse than who finds none: always
    # saying one of k classes gives a balanced accuracy of 1/k.
    if not classes or classes < 2 or best.value > share or balanced > 1 / classes + 0.05:
        return None
    return Verdict(
        "no better than the majority",
        "warning",
        f"accuracy {best.value:.1%} at best: always choosing the largest class gives {share:.1%}",
        f"balanced accuracy is {balanced:.1%}; {1 / classes:.1%} is what choosing blindly gives",
        "weigh rare classes (weight or pos_weight of the criterion); judge by balanced_accuracy",
    )


def overfitting(info: RunInfo, s: Snapshot, facts: VerdictInputs) -> Verdict | None:
    """The validation loss has risen off its best while the training loss fell on."""
    losses, validations = LossStats(info, s), curve(s, "val_loss")
    if validations is None or losses.start is None or losses.now is None:
        return None
    points = [(x, y) for x, y in zip(validations.x, validations.mean, strict=True) if y is not None]
    if len(points) < 5:
        return None
    best_at, best = min(points, key=lambda point: point[1])
    last = min(y for _, y in points[-3:])  # the lowest of three: one bad validation is noise
    # Of the first training loss, so that going from 0.01 to 0.02 doesn't count: healthy runs came
    # to 0.015 (and 1.04 of the best where it was that), models too large for their data to 0.3.
    if last < best + 0.05 * losses.start or last < 1.2 * best:
        return None
    then = _training_loss(losses, best_at)
    if then is None or losses.now > 0.9 * then:
        return None
    epoch = "" if s.best_val_loss is None else f" of epoch {s.best_val_loss.epoch}"
    return Verdict(
        "overfitting",
        "warning",
        f"the validation loss rose from {best:.3g}{epoch} to {points[-1][1]:.3g}",
        f"the training loss fell on, from {then:.3g} to {losses.now:.3g}: it overfits",
        "stop at the best epoch; more data, dropout or weight decay, or a smaller model",
    )


def _training_loss(losses: LossStats, batch: float) -> float | None:
    """The mean over the batches just before this one (the last twentieth of the run so far)."""
    series = losses.curve
    if series is None:
        return None
    end = bisect_left(series.x, batch) + 1
    begin = bisect_left(series.x, batch - max(10, losses.s.batches_done / 20))
    values = finite(series.mean[begin:end])
    return mean(values) if values else None
