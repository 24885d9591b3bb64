"""The images that a classifier mistakes."""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..protocol.inside import Image, Judged, Mistakes
from ..training.training import Training
from .outputs import classes_of, predicted, probabilities
from .samples import Samples
from .view import View

IMAGES: Final = 24
LARGEST: Final = 32
"""Pixels that a shown image is high or wide; of larger ones blocks are averaged."""
_TINY: Final = 1e-30


class MistakesView(View):
    """Images with the label that they have and the one that they are given, the worst first.

    Args:
        samples: features (B, C, H, W) with one to four channels, or (B, H, W).
        names: of all classes.
    """

    name, title = "mistakes", "mistakes"

    def __init__(self, samples: Samples, names: tuple[str, ...]) -> None:
        self._samples, self._names = samples, names
        self._images = [image for features, _ in samples.batches for image in features]

    @staticmethod
    def fits(features: Any) -> bool:
        """Whether these are images."""
        if not isinstance(features, Tensor) or min(features.shape[-2:], default=0) < 2:
            return False
        if features.dim() == 4 and features.shape[1] > 4:
            return False
        return features.dim() in (3, 4) and (
            features.is_floating_point() or features.dtype is torch.uint8
        )

    def see(self, model: nn.Module, training: Training) -> Mistakes:
        found = []
        for outputs, labels in self._samples.outputs(model, training.device):
            chances = probabilities(outputs, training.criterion)  # (B, C)
            true = classes_of(labels, outputs.shape, training.criterion)  # (B,)
            guess, confidence = predicted(chances)
            right = chances.gather(1, true.clamp(min=0)[:, None])[:, 0]  # (B,)
            loss = -right.nan_to_num(0.0).clamp(min=_TINY).log()
            found.append(torch.stack([n.double() for n in (true, guess, confidence, loss)]).cpu())
        true, guess, confidence, loss = torch.cat(found, 1)  # (N,) each
        known, wrong = true >= 0, (true != guess) & (true >= 0)
        # Right ones come after all wrong ones, ignored ones last: no loss reaches 1e3.
        order = (loss + 1e3 * wrong - 1e6 * ~known).argsort(descending=True, stable=True)
        shown = [i for i in order[:IMAGES].tolist() if known[i]]
        return Mistakes(
            shown=tuple(
                Judged(
                    image=_grey(self._images[i]),
                    label=int(true[i]),
                    predicted=int(guess[i]),
                    confidence=float(confidence[i]),
                    loss=float(loss[i]),
                )
                for i in shown
            ),
            wrong=int(wrong.sum()),
            samples=int(known.sum()),
            part=self._samples.part,
            names=self._names,
        )


def _grey(image: Tensor) -> Image:
    """(H, W) or (C, H, W) as rows of grey values, the darkest 0 and the brightest 1."""
    grey = image.float().reshape(-1, *image.shape[-2:]).mean(0).nan_to_num()  # (H, W)
    tall, wide = grey.shape
    if max(tall, wide) > LARGEST:
        scale = LARGEST / max(tall, wide)
        size = max(1, round(tall * scale)), max(1, round(wide * scale))
        grey = F.adaptive_avg_pool2d(grey[None, None], size)[0, 0]
    low, high = grey.min(), grey.max()
    return tuple(map(tuple, ((grey - low) / (high - low).clamp(min=1e-9)).tolist()))
