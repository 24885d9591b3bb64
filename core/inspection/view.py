"""What every view is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from ..protocol.inside import Picture
from ..training.training import Training
from .looking import looking


class View(ABC):
    """One way to look at what a model knows."""

    name: ClassVar[str]
    """For commands and records, such as "confusion"."""
    title: ClassVar[str]
    """For people, such as "confusion matrix"."""

    def compute(self, training: Training) -> Picture:
        """The picture as of now. Leaves no trace on the run, and waits for an accelerator.

        Raises:
            Exception: whatever the model raises; the run is left untouched then, too.
        """
        with looking(training) as model:
            return self.see(model, training)

    @abstractmethod
    def see(self, model: nn.Module, training: Training) -> Picture:
        """The picture, the model being in eval mode and without gradients."""
