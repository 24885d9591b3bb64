"""A recurrent network for text, which reads one token after the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import embedding


def lstm(inputs: torch.Size, outputs: int, *, layers: int, width: int, dropout: float) -> nn.Module:
    """`layers` LSTMs of `width` units, each reading what the one below gives."""
    return LSTM(outputs, layers, width, dropout)


class LSTM(nn.Module):
    """Tokens (B, T) to logits (B, V, T): classes second, as torch's CrossEntropyLoss wants them.

    Every sample starts from a state of zeros. The state after a token depends on those before it
    only, so it can't look ahead.
    """

    def __init__(self, vocabulary: int, layers: int, width: int, dropout: float) -> None:
        super().__init__()
        self.token = embedding(vocabulary, width)
        between = dropout if layers > 1 else 0.0  # torch drops between two layers only
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, dropout=between)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T) to logits (B, V, T)."""
        states, _ = self.lstm(self.token(tokens))  # (B, T, E)
        logits: Tensor = self.head(self.drop(states))  # (B, T, V)
        return logits.transpose(1, 2)  # (B, V, T)
