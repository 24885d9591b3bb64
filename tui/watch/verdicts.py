"""Everything that is wrong with the run, in full."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType

from ...core.protocol.diagnosis import Verdict
from ..widgets.dialog import TextBox
from ..widgets.verdict import in_full


class VerdictsScreen(TextBox):
    """What is wrong, why, and what to try, of each verdict."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "close", show=False, priority=True)]

    def __init__(self, verdicts: tuple[Verdict, ...], *, ascii: bool = False) -> None:
        title = "what is wrong, why, and what to try"
        super().__init__(title, partial(in_full, verdicts), ascii=ascii)
