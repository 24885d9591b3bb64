"""The optimizers of `torch.optim` that a recipe may name, with their options. Needs no torch.

Names, options and defaults are torch's own (a test compares them with the constructors). Left
out are `foreach`, `capturable` and `differentiable`, which change no result, and what TOML
can't write. Every option is passed to torch explicitly, so a recipe does not depend on the
defaults of one version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .value_types import Flag, Option, Options, Pair, Real, Whole, Word

if TYPE_CHECKING:
    from ..core.protocol.steps import TaskName


def lr_option(default: float) -> Real:
    """A learning rate."""
    return Real(default, 0, 1e3, above=True)


def _betas() -> Pair:
    return Pair(Real(0.9, 0, 1, below=True), Real(0.999, 0, 1, below=True))


_EPS: Final = Real(1e-8, 0, 1)
_DECAY: Final = Real(0.0, 0, 1e3)
_OFF: Final = Flag(False)
_FUSED: Final = Flag(True)
"""One kernel for the whole update, used where torch has it for the device."""


def _options(lr: float, **options: Option) -> Options:
    common: dict[str, Option] = {"lr": lr_option(lr), "weight_decay": _DECAY, "maximize": _OFF}
    return common | options


OPTIMIZERS: Final[dict[str, Options]] = {
    "Adadelta": _options(1.0, rho=Real(0.9, 0, 1), eps=Real(1e-6, 0, 1)),
    "Adafactor": _options(0.01, beta2_decay=Real(-0.8, -10, 0), d=Real(1.0, 1, 1e3)),
    "Adagrad": _options(
        0.01,
        lr_decay=Real(0.0, 0, 1e3),
        initial_accumulator_value=Real(0.0, 0, 1e3),
        eps=Real(1e-10, 0, 1),
        fused=_FUSED,
    ),
    "Adam": _options(
        1e-3, betas=_betas(), eps=_EPS, amsgrad=_OFF, decoupled_weight_decay=_OFF, fused=_FUSED
    ),
    "Adamax": _options(2e-3, betas=_betas(), eps=_EPS),
    "AdamW": _options(
        1e-3, weight_decay=Real(0.01, 0, 1e3), betas=_betas(), eps=_EPS, amsgrad=_OFF, fused=_FUSED
    ),
    "ASGD": _options(
        0.01, lambd=Real(1e-4, 0, 1e3), alpha=Real(0.75, 0, 10), t0=Real(1e6, 0, 1e12)
    ),
    "NAdam": _options(
        2e-3, betas=_betas(), eps=_EPS, momentum_decay=Real(4e-3, 0, 1), decoupled_weight_decay=_OFF
    ),
    "RAdam": _options(1e-3, betas=_betas(), eps=_EPS, decoupled_weight_decay=_OFF),
    "RMSprop": _options(
        0.01, alpha=Real(0.99, 0, 1), eps=_EPS, momentum=Real(0.0, 0, 1, below=True), centered=_OFF
    ),
    "Rprop": {
        "lr": lr_option(0.01),
        "maximize": _OFF,
        "etas": Pair(Real(0.5, 0, 1, above=True, below=True), Real(1.2, 1, 10, above=True)),
        "step_sizes": Pair(Real(1e-6, 0, 1e3, above=True), Real(50.0, 0, 1e6), rising=True),
    },
    "SGD": _options(
        1e-3,
        momentum=Real(0.0, 0, 1, below=True),
        dampening=Real(0.0, 0, 1),
        nesterov=_OFF,
        fused=_FUSED,
    ),
}

REFUSED_OPTIMIZERS: Final = {
    "LBFGS": "its step() needs a closure that runs the forward and the backward pass again",
    "SparseAdam": "it takes sparse gradients only, and these models give dense ones",
    "Muon": "it takes matrices only, and biases and norms are vectors",
}

OPTIMIZER: Final = Word(None, tuple(OPTIMIZERS), REFUSED_OPTIMIZERS)


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

REFUSED_CRITERIA: Final = {
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
"""The criterion that "auto" stands for."""

CRITERION: Final = Word("auto", ("auto", *LOSSES), REFUSED_CRITERIA)
