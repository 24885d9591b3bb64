"""The parts of a loop that is not ours."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..training.training import Training


def _unknown(outputs: Any, labels: Any) -> Any:
    raise NotImplementedError("only the loop itself knows its criterion")


_unknown.__name__ = ""


class ForeignTraining(Training):
    """Model and optimizer as they were found, so that they can be looked at. Nothing checks them,
    moves them or trains them.
    """

    def __init__(self, model: nn.Module, optimizer: Any) -> None:
        self.model, self.optimizer, self.criterion = model, optimizer, _unknown
        self.batches, self.validation = (), None
        parameter = next(model.parameters(), None)
        self.device = torch.device("cpu") if parameter is None else parameter.device
        self.amp = None
        self.new_scaler()
