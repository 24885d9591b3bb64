"""The data sets, models and schedules that a recipe may name, with their options.

Needs no torch. An entry's name is the name of the function in `data/builtin.py` or `models.py`
that makes it, and its options are that function's keyword arguments: a new data set or model is
one function there and one entry here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from .value_types import Matching, Options, Real, Several, Whole, Word

if TYPE_CHECKING:
    from ..core.protocol.steps import TaskName

DataKind = Literal["points", "table", "images", "tokens"]


@dataclass(frozen=True, slots=True)
class DataEntry:
    """A data set as far as it is known before it is loaded."""

    about: str
    """In a few words, for a listing."""
    task: TaskName | None
    """None where the data decides."""
    kind: DataKind
    shape: str
    """The shape of a batch of features."""
    options: Options
    download: str = ""
    """How much is downloaded on first use: "12 MB"; empty where nothing is."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model as far as it is known before it is built."""

    about: str
    """In a few words, for a listing."""
    takes: dict[DataKind, str]
    """The kinds of features it takes, each with the shape of a batch."""
    options: Options


_SEED: Final = Whole(0, 0, 2**32 - 1)
"""Seed of the data: which samples are drawn, and which of them are validated or tested on."""


def _shares(share: float) -> Options:
    """The share of the samples to validate on, and the share to test on."""
    return {"validation": Real(share, 0.01, 0.45), "test": Real(share, 0.01, 0.45)}


_TENTHS: Final[Options] = {**_shares(0.1), "seed": _SEED}
_FIFTHS: Final[Options] = {**_shares(0.2), "seed": _SEED}

PLACE: Final = Matching("", r"[^\x00-\x1f\x7f]{0,1000}", "a path")


def _published(url: str) -> Options:
    """Options of a data set that others publish, with a test part of its own."""
    return {
        "validation": Real(0.1, 0.01, 0.9),
        "seed": _SEED,
        "data_dir": PLACE,
        "url": Matching(url, r"https?://[A-Za-z0-9._~:/@%+-]{1,500}", "an address, http or https"),
    }


def _table(about: str, columns: int, task: TaskName = "classification") -> DataEntry:
    """A table that comes with scikit-learn."""
    return DataEntry(about, task, "table", f"(B, {columns})", _FIFTHS)


def _images(about: str, side: int, options: Options, download: str = "") -> DataEntry:
    """Square grey images of ten classes, `side` pixels wide."""
    shape = f"(B, 1, {side}, {side})"
    return DataEntry(about, "classification", "images", shape, options, download)


DATASETS: Final[dict[str, DataEntry]] = {
    "line": DataEntry(
        "a noisy straight line",
        "regression",
        "points",
        "(B, 1)",
        {
            "samples": Whole(1000, 10, 1_000_000),
            "slope": Real(2.0, -1e3, 1e3),
            "intercept": Real(0.5, -1e3, 1e3),
            "noise": Real(0.3, 0, 1e3),
            **_TENTHS,
        },
    ),
    "spirals": DataEntry(
        "interleaved spirals in the plane",
        "classification",
        "points",
        "(B, 2)",
        {
            "arms": Whole(3, 2, 3),
            "samples": Whole(3000, 30, 1_000_000),
            "turns": Real(1.0, 0.1, 5),
            "noise": Real(0.03, 0, 1),
            **_TENTHS,
        },
    ),
    "moons": DataEntry(
        "two interleaved half circles",
        "classification",
        "points",
        "(B, 2)",
        {"samples": Whole(2000, 30, 1_000_000), "noise": Real(0.1, 0, 1), **_TENTHS},
    ),
    "iris": _table("three kinds of irises, measured", 4),
    "wine": _table("three growers' wines, analysed", 13),
    "breast-cancer": _table("tumours by their cell nuclei", 30),
    "diabetes": _table("progress of a disease in a year", 10, "regression"),
    "digits": _images("handwritten digits 8x8", 8, _TENTHS),
    "mnist": _images(
        "handwritten digits 28x28",
        28,
        _published("https://ossci-datasets.s3.amazonaws.com/mnist/"),
        "12 MB",
    ),
    "fashion-mnist": _images(
        "clothes 28x28",
        28,
        _published(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
        ),
        "31 MB",
    ),
    "docs": DataEntry(
        "Python's language reference, by character",
        "language-model",
        "tokens",
        "(B, T)",
        {"context": Whole(128, 8, 1024), **_shares(0.05)},
    ),
}

_COLUMN: Final = r"[^\x00-\x1f\x7f]{1,200}"
_COLUMNS: Final = Several((), Matching("id", _COLUMN, "the name of a column"), 0, 64)
DATASETS["csv"] = DataEntry(
    "a table of your own",
    None,
    "table",
    "(B, D)",
    {
        "path": PLACE,
        "target": Matching("", f"({_COLUMN})?", "the name of a column"),
        "task": Word("auto", ("auto", "classification", "regression")),
        "ignore": _COLUMNS,
        "categories": _COLUMNS,
        "decimal": Word("auto", ("auto", ".", ",")),
        "missing": Word("refuse", ("refuse", "median", "drop")),
        "data_dir": PLACE,
        **_FIFTHS,
    },
)

_ACTIVATION: Final = Word("relu", ("relu", "gelu", "silu", "tanh", "sigmoid"))
_NORM: Final = Word("none", ("none", "batch", "layer"))
_DROPOUT: Final = Real(0.0, 0, 1, below=True)
_FLAT: Final[dict[DataKind, str]] = {
    "points": "(B, D)",
    "table": "(B, D)",
    "images": "(B, C, H, W)",
}

MODELS: Final[dict[str, ModelEntry]] = {
    "linear": ModelEntry("one linear layer", _FLAT, {}),
    "mlp": ModelEntry(
        "fully connected layers",
        _FLAT,
        {
            "widths": Several((64, 64), Whole(64, 1, 2048), 1, 16),
            "activation": _ACTIVATION,
            "norm": _NORM,
            "dropout": _DROPOUT,
        },
    ),
    "cnn": ModelEntry(
        "3x3 convolutions and pooling",
        {"images": "(B, C, H, W)"},
        {
            "channels": Several((16, 32), Whole(16, 1, 1024), 1, 12),
            "activation": _ACTIVATION,
            "norm": Word("batch", ("none", "batch")),
            "dropout": _DROPOUT,
        },
    ),
    "resnet": ModelEntry(
        "residual blocks of convolutions",
        {"images": "(B, C, H, W)"},
        {
            "channels": Several((16, 32), Whole(16, 1, 1024), 1, 6),
            "blocks": Whole(1, 1, 16),
            "dropout": _DROPOUT,
        },
    ),
    "gpt": ModelEntry(
        "a decoder-only transformer",
        {"tokens": "(B, T)"},
        {
            "layers": Whole(3, 1, 24),
            "heads": Whole(4, 1, 32),
            "width": Whole(64, 1, 1024),
            "dropout": _DROPOUT,
        },
    ),
    "lstm": ModelEntry(
        "a recurrent network",
        {"tokens": "(B, T)"},
        {"layers": Whole(1, 1, 8), "width": Whole(128, 1, 2048), "dropout": _DROPOUT},
    ),
}

PLATEAU_METRICS: Final = (
    "val_loss",
    "accuracy",
    "balanced_accuracy",
    "f1",
    "r2",
    "mae",
    "perplexity",
)

SCHEDULERS: Final[dict[str, Options]] = {
    "none": {},
    "cosine": {"floor": Real(0.0, 0, 1)},
    "plateau": {
        "metric": Word("val_loss", PLATEAU_METRICS),
        "factor": Real(0.1, 0, 1, above=True, below=True),
        "patience": Whole(10, 0, 1_000_000),
        "threshold": Real(1e-4, 0, 1e6),
        "threshold_mode": Word("rel", ("rel", "abs")),
        "cooldown": Whole(0, 0, 1_000_000),
        "min_lr": Real(0.0, 0, 1e3),
    },
    "step": {"step_size": Whole(10, 1, 1_000_000), "gamma": Real(0.1, 0, 1, above=True)},
    "onecycle": {
        "pct_start": Real(0.3, 0, 1, above=True, below=True),
        "div_factor": Real(25.0, 1, 1e6),
        "final_div_factor": Real(1e4, 1, 1e9),
    },
    "warmup-cosine": {"warmup": Real(0.1, 0, 1, above=True, below=True), "floor": Real(0.0, 0, 1)},
}
"""`floor` is what remains of lr at the end, `warmup` the share of all updates spent rising;
`metric` is what a plateau waits for, after each epoch's validation."""

DATASET_NAME: Final = Word(None, tuple(DATASETS))
MODEL_NAME: Final = Word(None, tuple(MODELS))
SCHEDULER_NAME: Final = Word("none", tuple(SCHEDULERS))
