"""`UnfitError`: parts of a training that don't fit each other."""

from __future__ import annotations


class UnfitError(ValueError):
    """Data, model and task don't fit each other, seen before anything is lost by it.

    Args:
        text: what doesn't fit.
        advice: what to do.
    """

    def __init__(self, text: str, advice: str) -> None:
        super().__init__(text)
        self.advice = advice
