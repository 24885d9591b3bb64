"""MNIST and Fashion-MNIST: IDX files, downloaded on first use or named by the user."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ..errors import RecipeError, printable, shown
from . import download
from .dataset import Dataset

FILES: Final = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
SIDE: Final = 28
MOST: Final = 200_000
"""Images in one file. The published ones have 60,000."""


@dataclass(frozen=True, slots=True)
class Published:
    """A data set as its authors published it: four files and their SHA-256."""

    name: str
    classes: tuple[str, ...]
    sha256: tuple[str, str, str, str]
    """Of the four `FILES`, packed with gzip."""

    @property
    def registry(self) -> Mapping[str, str]:
        """The packed files' names with their checksums, as pooch writes them."""
        return {f"{n}.gz": f"sha256:{s}" for n, s in zip(FILES, self.sha256, strict=True)}


MNIST: Final = Published(
    "mnist",
    tuple("0123456789"),
    (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
)
FASHION: Final = Published(
    "fashion-mnist",
    tuple("T-shirt,trouser,pullover,dress,coat,sandal,shirt,sneaker,bag,ankle boot".split(",")),
    (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
)


def mnist(*, validation: float, seed: int, data_dir: str, url: str) -> Dataset:
    """Handwritten digits, 28x28, grey values 0 to 1; the test part is the published one.

    Source: Y. LeCun, C. Cortes and C. Burges, "The MNIST Database of Handwritten Digits", 1998.
    """
    return _read(MNIST, validation, seed, data_dir, url)


def fashion_mnist(*, validation: float, seed: int, data_dir: str, url: str) -> Dataset:
    """Clothes, 28x28, grey values 0 to 1; the test part is the published one.

    Source: H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST", 2017.
    """
    return _read(FASHION, validation, seed, data_dir, url)


def at_hand(name: str, data_dir: str) -> bool:
    """Whether this data set ("mnist") needs no download, judging by the names of files."""
    return bool(data_dir) or download.are_cached(name, (f"{file}.gz" for file in FILES))


def _read(what: Published, validation: float, seed: int, data_dir: str, url: str) -> Dataset:
    if data_dir:
        paths = [_found(what.name, Path(data_dir), file) for file in FILES]
    else:
        paths = download.fetch(what.name, url, what.registry)
    images, labels = _pair(what, paths[0], paths[1])  # (N, 1, 28, 28), (N,)
    test_images, test_labels = _pair(what, paths[2], paths[3])  # (L, 1, 28, 28), (L,)
    if len(images) < 2:
        raise RecipeError(f"{what.name}: expected at least 2 images to train on and to validate")
    draw = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(images), generator=draw)  # (N,)
    kept = min(max(round(len(images) * validation), 1), len(images) - 1)
    train, val = order[:-kept], order[-kept:]
    return Dataset(
        images[train],
        labels[train],
        images[val],
        labels[val],
        test_images,
        test_labels,
        len(what.classes),
        f"{len(train):,} images 28x28, 10 classes",
        what.classes,
    )


def _found(name: str, folder: Path, file: str) -> Path:
    """The user's own file, packed or not. Raises RecipeError where there is none."""
    for path in (folder / f"{file}.gz", folder / file):
        if path.is_file():
            return path
    raise RecipeError(f"{name}: --data-dir: there is no {file}.gz in {shown(str(folder))}")


def _pair(what: Published, images: Path, labels: Path) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 28, 28) of 0 to 1, and labels (N,), both checked."""
    try:
        pixels, classes = _idx(images, 3), _idx(labels, 1)  # (N, 28, 28), (N,)
    except ValueError as error:
        raise RecipeError(f"{what.name}: {printable(str(error))}") from error
    if len(pixels) != len(classes):
        raise RecipeError(f"{what.name}: {len(pixels):,} images but {len(classes):,} labels")
    if classes.max() >= len(what.classes):
        raise RecipeError(f"{what.name}: {labels.name}: expected labels from 0 to 9")
    return pixels.float().div(255).unsqueeze(1), classes.long()


def _idx(path: Path, places: int) -> Tensor:
    """The bytes of an IDX file, packed or not, in the shape that its head gives: `places` sizes.

    Raises:
        ValueError: it is no such file, is too large, or ends too early.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4 + 4 * places)
            shape = _shape(head, places)
            data = file.read(math.prod(shape) + 1)  # one byte more than there should be
    except EOFError as error:
        raise ValueError(f"{path.name} ends too early") from error
    except (OSError, zlib.error) as error:
        raise ValueError(f"{path.name} can't be read: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    if len(data) != math.prod(shape):
        wrong = "ends too early" if len(data) < math.prod(shape) else "goes on after its end"
        raise ValueError(f"{path.name} {wrong}")
    return torch.from_numpy(np.frombuffer(data, np.uint8).copy()).view(shape)


def _shape(head: bytes, places: int) -> tuple[int, ...]:
    """The sizes that the head of an IDX file says. Raises ValueError."""
    if len(head) < 4 + 4 * places or head[:4] != bytes((0, 0, 8, places)):
        raise ValueError(f"this is no IDX file of bytes in {places} dimensions")
    shape = struct.unpack(f">{places}I", head[4:])
    if not 0 < shape[0] <= MOST or any(size != SIDE for size in shape[1:]):
        sizes = " x ".join(str(size) for size in shape)
        raise ValueError(f"expected up to {MOST:,} images of 28x28 pixels, or labels, not {sizes}")
    return shape
