"""The model in `DistributedDataParallel`: how gradients are averaged, and what goes with them."""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .ranks import RankGroup

SMALL: Final = 1 << 20
"""Numbers of a bucket that are copied to be sent with a few more."""
WIDE: Final = (torch.float32, torch.float64)


class Replica:
    """This rank's copy of the model.

    Gradients are averaged as if all samples of the batch were in one: each rank's, which are of
    the mean over its part, count by that part's size. With the first of them travels a note: the
    loss of the whole batch, and how many ranks have something to be agreed on. So neither costs a
    message of its own.
    """

    norm: float | None = None
    """Each rank has all gradients, and can compute their norm when it wants to."""

    def __init__(self, model: nn.Module, ranks: RankGroup) -> None:
        self._ranks = ranks
        self.share = 1 / ranks.size
        """Of the batch's samples, those that are this rank's."""
        self._note = torch.zeros(2, dtype=torch.float64)
        self._heard: Tensor | None = None
        self.module = DistributedDataParallel(model)
        """What the loop calls in the place of the model."""
        self.module.register_comm_hook(self, lambda self, bucket: self._average(bucket))

    def write(self, loss: Tensor, mean: float, share: float, *, asks: bool) -> None:
        """Before backward: this rank's mean loss, as a tensor and its number, its share of the
        samples, and whether it has something to be agreed on.
        """
        self.share, self._heard = share, None
        part = mean * share if share else 0.0
        self._note = torch.tensor([part, asks], dtype=torch.float64)

    def read(self) -> tuple[float, bool]:
        """After backward: the mean loss over all samples of the batch, and whether any rank asks.

        Where backward was left out the ranks meet for it.
        """
        if self._heard is None:
            self._ranks.add(self._note)
            self._heard = self._note
        loss, asks = self._heard.tolist()
        return loss, asks > 0

    def _average(self, bucket: Any) -> Any:
        """What DistributedDataParallel calls for some gradients at a time, a `GradBucket`; gives a
        future of theirs.
        """
        gradients = bucket.buffer().mul_(self.share)
        first = bucket.index() == 0
        if not first or gradients.numel() > SMALL or gradients.dtype not in WIDE:
            if first:
                self._ranks.add(self._note)
                self._heard = self._note
            alone = dist.all_reduce(gradients, async_op=True).get_future()
            return alone.then(lambda done: done.value()[0])
        whole = torch.cat((gradients, self._note.to(gradients.device, gradients.dtype)))
        both = dist.all_reduce(whole, async_op=True).get_future()

        def apart(done: Any) -> Tensor:
            sent: Tensor = done.value()[0]
            self._heard = sent[-2:]
            return sent[:-2]

        return both.then(apart)
