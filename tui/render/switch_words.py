"""What is broken on purpose, in few words: for a banner, a chart, a closing line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...core.protocol.faults import Switch

SHORT: Final[dict[Switch, str]] = {
    Switch.NO_ZERO_GRAD: "zero_grad left out",
    Switch.LATE_ZERO_GRAD: "zero_grad after backward",
    Switch.NO_BACKWARD: "backward left out",
    Switch.NO_STEP: "step left out",
    Switch.EVAL_MODE: "model.train() forgotten",
    Switch.LR_TIMES_100: "lr ×100",
}
_BY_LABEL: Final = {switch.info.label: short for switch, short in SHORT.items()}


def in_short(switches: Iterable[Switch]) -> str:
    """All of them: "zero_grad left out, lr ×100"."""
    return ", ".join(SHORT[switch] for switch in switches)


def change_in_short(text: str) -> str:
    """A change of kind "switch" beside a chart: "zero_grad left out", "mended"."""
    said, _, label = text.partition(": ")
    return _BY_LABEL.get(label, said) if said.startswith("broken") else said
