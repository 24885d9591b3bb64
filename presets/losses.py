"""The losses of `torch.nn` that work as `criterion(outputs, labels)`. Needs no torch.

Names, options and defaults are torch's own (a test compares them with the constructors).
Left out are `reduction` (always the mean) and tensors such as class weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .schema import Flag, Options, Real, Whole, Word

if TYPE_CHECKING:
    from ..core.protocol.steps import TaskName

_IGNORE: Final = Whole(-100, -(10**6), 10**6)

LOSSES: Final[dict[str, Options]] = {
    "BCELoss": {},
    "BCEWithLogitsLoss": {},
    "CrossEntropyLoss": {"label_smoothing": Real(0.0, 0, 1), "ignore_index": _IGNORE},
    "HingeEmbeddingLoss": {"margin": Real(1.0, 0, 1e6)},
    "HuberLoss": {"delta": Real(1.0, 0, 1e6, above=True)},
    "KLDivLoss": {"log_target": Flag(False)},
    "L1Loss": {},
    "MSELoss": {},
    "MultiLabelMarginLoss": {},
    "MultiLabelSoftMarginLoss": {},
    "MultiMarginLoss": {"p": Whole(1, 1, 2), "margin": Real(1.0, 0, 1e6)},
    "NLLLoss": {"ignore_index": _IGNORE},
    "PoissonNLLLoss": {"log_input": Flag(True), "full": Flag(False), "eps": Real(1e-8, 0, 1)},
    "SmoothL1Loss": {"beta": Real(1.0, 0, 1e6)},
    "SoftMarginLoss": {},
}

_THREE: Final = "it needs a third tensor besides outputs and labels"

REFUSED: Final = {
    "AdaptiveLogSoftmaxWithLoss": "it is a layer with weights of its own",
    "CosineEmbeddingLoss": _THREE,
    "CTCLoss": "it needs the lengths of inputs and targets besides",
    "GaussianNLLLoss": "it needs a variance besides outputs and labels",
    "LinearCrossEntropyLoss": "it is a layer with weights of its own",
    "MarginRankingLoss": _THREE,
    "NLLLoss2d": "torch replaced it by NLLLoss",
    "TripletMarginLoss": _THREE,
    "TripletMarginWithDistanceLoss": _THREE,
}

STANDARD: Final[dict[TaskName, str]] = {
    "classification": "CrossEntropyLoss",
    "regression": "MSELoss",
    "language-model": "CrossEntropyLoss",
}
"""What "auto" stands for."""

NAME: Final = Word("auto", ("auto", *LOSSES), REFUSED)
