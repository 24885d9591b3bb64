"""A text that a language model writes."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from ..protocol.inside import WrittenText
from ..training.device import estimate_work
from ..training.training import Training
from .view import View

TEMPERATURE: Final = 0.8
LONGEST: Final = 160
"""Tokens written at most."""
SHORTEST: Final = 24
WORK: Final = 4e9
"""Multiply-adds of one text; a larger model writes less."""
PROMPT: Final = 24
"""Tokens shown of what the model goes on from."""
SEED: Final = 0


class TextView(View):
    """What the model writes, token by token, after the beginning of the validation data.

    It always reads as many tokens as a sample has. Luck is drawn once, so that two texts differ
    by what was learned in between and by nothing else.

    Args:
        start: (T,) the tokens to go on from.
        vocabulary: the text of each token.
        last: whether the vocabulary is the last dimension of the outputs, (B, T, V), instead of
            the second, (B, V, T).
        length: tokens to write.
    """

    name, title = "text", "written text"

    def __init__(
        self, start: Tensor, vocabulary: tuple[str, ...], *, last: bool, length: int
    ) -> None:
        self._start, self._vocabulary, self._last = start, vocabulary, last
        self._luck = torch.rand(length, generator=torch.Generator().manual_seed(SEED))

    @classmethod
    def of(cls, training: Training, features: Any, outputs: Any) -> TextView | None:
        """The view, if the data are rows of tokens and each token has a name."""
        vocabulary = training.about.label_names
        if not isinstance(features, Tensor) or not isinstance(outputs, Tensor) or not vocabulary:
            return None
        if features.dim() != 2 or features.is_floating_point() or outputs.dim() != 3:
            return None
        samples, tokens = features.shape
        if outputs.shape not in (
            (samples, len(vocabulary), tokens),
            (samples, tokens, len(vocabulary)),
        ):
            return None
        last = outputs.shape[1] != len(vocabulary)
        work = estimate_work(training.model, features[:1])
        length = int(min(LONGEST, max(SHORTEST, WORK / max(1.0, work))))
        return cls(features[0], vocabulary, last=last, length=length)

    def see(self, model: nn.Module, training: Training) -> WrittenText:
        luck = self._luck.to(training.device)
        tokens = self._start.to(training.device)  # (T,)
        size = len(tokens)
        bad = torch.zeros((), dtype=torch.bool, device=training.device)
        for place in range(len(luck)):
            outputs = model(tokens[None, -size:])[0]  # (V, T) or (T, V)
            logits = outputs[-1] if self._last else outputs[:, -1]  # (V,)
            bad |= ~logits.isfinite().all()
            chances = (logits.float() / TEMPERATURE).softmax(0).cumsum(0)  # (V,)
            # Counted rather than drawn by torch.multinomial, which an accelerator can't survive
            # being given NaN.
            token = (chances < luck[place] * chances[-1]).sum().clamp(max=len(chances) - 1)
            tokens = torch.cat((tokens, token[None].to(tokens.dtype)))
        names = [self._vocabulary[token] for token in tokens.tolist()]
        return WrittenText(
            "".join(names[max(0, size - PROMPT) : size]),
            "".join(names[size:]),
            TEMPERATURE,
            bool(bad),
        )
