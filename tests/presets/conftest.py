"""What the tests of the middle floor share."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

Write = Callable[[str | bytes], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a recipe file and give its path."""

    def write(text: str | bytes) -> str:
        file = tmp_path / "mine.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(file)

    return write


def write_idx(folder: Path) -> dict[str, bytes]:
    """Small files like MNIST's in a folder, the label in every pixel; their contents by name."""
    packed = {}
    for part, count in (("train", 40), ("t10k", 20)):
        labels = bytes(i % 10 for i in range(count))
        images = b"".join(bytes([label * 20]) * 28 * 28 for label in labels)
        head = struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28)
        packed[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(head + images)
        head = struct.pack(">4BI", 0, 0, 8, 1, count)
        packed[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(head + labels)
    for name, data in packed.items():
        (folder / name).write_bytes(data)
    return packed


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small files in the place of MNIST's or Fashion-MNIST's."""
    folder = tmp_path_factory.mktemp("published")
    write_idx(folder)
    return folder


@pytest.fixture(scope="session")
def own_table(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a small CSV file: two numbers, a category, and a class to tell."""
    rows = [
        f"{i % 7},{i * 0.5 + i % 3},{'ab'[i % 2]},{'yes' if i % 3 else 'no'}" for i in range(60)
    ]
    file = tmp_path_factory.mktemp("own") / "mine.csv"
    file.write_text("\n".join(["small,large,kind,answer", *rows]), encoding="utf-8")
    return str(file)


@pytest.fixture
def packed(tmp_path: Path) -> dict[str, bytes]:
    """The same in `tmp_path`, to be spoiled: contents by name."""
    return write_idx(tmp_path)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The models here are small, and other tests may need the other core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
