"""Verdicts: what is wrong with a run, why, and what to try. Pure functions, no torch.

    for verdict in find_verdicts(session.info, session.latest(curves=True)):
        print(verdict.what, verdict.why, verdict.next)

The Snapshot must hold its curves. `VerdictInputs` are optional: without one, the rules that need it
find nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ..protocol.diagnosis import Severity, Verdict, VerdictInputs
from ..protocol.snapshot import RunInfo, Snapshot
from ..storage.files import clean
from .layer_rules import (
    data_bound,
    dead_units,
    exploding_gradients,
    labels_outside,
    labels_stretched,
    validation_trains,
    vanishing_gradients,
)
from .loss_rules import (
    lr_too_high,
    lr_too_low,
    lr_zero,
    lr_zero_in_groups,
    no_better_than_majority,
    nonfinite,
    not_falling,
    overfitting,
)

__all__ = ["CAUSES", "RULES", "Severity", "Verdict", "VerdictInputs", "find_verdicts"]

Rule = Callable[[RunInfo, Snapshot, VerdictInputs], Verdict | None]

RULES: Final[dict[str, Rule]] = {
    "labels outside the classes": labels_outside,
    "labels stretched": labels_stretched,
    "non-finite": nonfinite,
    "lr is 0": lr_zero,
    "lr is 0 in a group": lr_zero_in_groups,
    "lr too high": lr_too_high,
    "exploding gradients": exploding_gradients,
    "vanishing gradients": vanishing_gradients,
    "dead units": dead_units,
    "validation in train mode": validation_trains,
    "overfitting": overfitting,
    "lr too low": lr_too_low,
    "not falling": not_falling,
    "no better than the majority": no_better_than_majority,
    "data-bound": data_bound,
}
"""By what their verdicts are called; of one severity, the cause comes before what follows."""

CAUSES: Final = frozenset(RULES) - {
    "lr is 0 in a group",
    "validation in train mode",
    "overfitting",
    "not falling",
    "no better than the majority",
    "data-bound",
}
"""Each explains a loss that doesn't fall, so that nothing more is said of that."""

LOOP: Final = frozenset(RULES) - {"labels outside the classes", "labels stretched", "data-bound"}
"""What a step that was left out or misplaced can bring about."""

ANY_LOSS: Final = frozenset(("non-finite", "data-bound", "labels stretched"))
"""Rules that hold where the loss need not fall: in a GAN, or where no data are given."""
_ORDER: Final[tuple[Severity, ...]] = ("danger", "warning", "note")


def find_verdicts(
    info: RunInfo,
    s: Snapshot,
    facts: VerdictInputs = VerdictInputs(),  # noqa: B008 - frozen
) -> tuple[Verdict, ...]:
    """What is wrong with the run, the most severe first; empty for all that can be seen."""
    found = [verdict for rule in RULES.values() if (verdict := rule(info, s, facts)) is not None]
    if not info.should_fall:
        found = [verdict for verdict in found if verdict.rule in ANY_LOSS]
    rules = {verdict.rule for verdict in found}
    causes = CAUSES & rules
    effects = {"not falling"} if causes else set()
    if causes - {"lr too low"}:
        effects.add("lr too low")
    if "lr is 0" in rules:  # whatever a layer looks like, that is why it does not learn
        effects |= {"vanishing gradients", "dead units"}
    if causes or "not falling" in rules:
        effects.add("no better than the majority")
    kept = [verdict for verdict in found if verdict.rule not in effects]
    if facts.faults:
        undo = f"put right again what was changed on purpose: {', '.join(facts.faults)}"
        kept = [
            replace(verdict, next=undo) if verdict.rule in LOOP else verdict for verdict in kept
        ]
    kept.sort(key=lambda verdict: _ORDER.index(verdict.severity))
    return tuple(_on_one_line(verdict) for verdict in kept)


def _on_one_line(verdict: Verdict) -> Verdict:
    """A person's own layers may be called anything."""
    what, why, then = (clean(text) for text in (verdict.what, verdict.why, verdict.next))
    return replace(verdict, what=what, why=why, next=then)
