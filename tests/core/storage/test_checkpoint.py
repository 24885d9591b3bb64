"""One checkpoint file: what goes in comes out, and nothing else does."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import zipfile
from collections import Counter, OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faults import f09_hostile_checkpoints
from torch import nn

from fivestep.core.storage.checkpoint import CheckpointError, load, save

STATE: dict[str, Any] = {
    "progress": {"batches_done": 7, "losses": [0.5, float("inf")], "name": "naïve", "of": None},
    "weights": torch.arange(6.0).reshape(2, 3),
    "python": (3, (1, 2, 2**40), True, b"\0\xff", {1, 2}, torch.float32, torch.device("cpu")),
    "counts": Counter("abca"),
    "ordered": OrderedDict(b=torch.Size((2, 3)), a=1),
}
Pair = namedtuple("Pair", "a b")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "one.pt"


def same(found: object, wanted: object) -> bool:
    if isinstance(wanted, dict) and isinstance(found, dict):
        pairs = zip(found.items(), wanted.items(), strict=True)
        return all(a == b and same(x, y) for (a, x), (b, y) in pairs)
    if isinstance(wanted, torch.Tensor) and isinstance(found, torch.Tensor):
        return found.dtype == wanted.dtype and torch.equal(found, wanted)
    return type(found) is type(wanted) and found == wanted


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(path)
    text = str(caught.value)
    assert text.isprintable()
    return text


def signed(path: Path) -> None:
    """Give a file that torch.save made the digest that somebody who means harm would give it."""
    path.write_bytes(f09_hostile_checkpoints.signed(path.read_bytes()))


def test_what_goes_in_comes_out(file: Path) -> None:
    digest = save(file, STATE)
    assert same(load(file), STATE)
    assert file.read_bytes().endswith(b"fivestep sha256=" + digest.encode())
    assert [path.name for path in file.parent.iterdir()] == ["one.pt"]


def test_torch_and_zip_tools_read_it_too(file: Path) -> None:
    save(file, STATE)
    for mapped in (False, True):
        found = torch.load(file, weights_only=True, mmap=mapped)
        assert same(found, STATE | {"format": 1})
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None


def test_a_model_and_its_optimizer(file: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    rng = torch.get_rng_state()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": rng}
    save(file, state)
    found = load(file)
    assert same(found, state)
    model.load_state_dict(found["model"])
    optimizer.load_state_dict(found["optimizer"])


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.float64(1), "numpy.float64"),
        (np.zeros(2), "numpy.ndarray"),
        (Pair(1, 2), "Pair"),
        (len, "builtin_function_or_method"),
        (Path("x"), "Path"),
    ],
    ids=["numpy number", "array", "namedtuple", "function", "path"],
)
def test_what_could_not_be_loaded_is_not_saved(file: Path, value: object, told: str) -> None:
    save(file, STATE)
    with pytest.raises(CheckpointError, match=r"^state\['a'\]\[1\]\[0\] is a .*" + told):
        save(file, {"a": [1, (value,)]})
    assert same(load(file), STATE)


@contextmanager
def failing(patch: pytest.MonkeyPatch, at: int, error: int) -> Iterator[list[str]]:
    """The call number `at` of those that write, and all after it of the same name, fail."""
    made: list[str] = []
    broken: set[str] = set()

    def broken_at(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(*arguments: object, **named: object) -> object:
            made.append(name)
            if len(made) == at:
                broken.add(name)
            if name in broken:
                raise OSError(error, os.strerror(error))
            return real(*arguments, **named)

        return call

    with patch.context() as context:
        for name in ("open", "write", "fsync", "replace"):
            context.setattr(os, name, broken_at(name))
        yield made


def test_every_call_that_writes_may_fail(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an OSError then, the old one or the new one is there, and no stray file is."""
    save(file, {"n": 0})
    with failing(monkeypatch, 0, 0) as calls:
        save(file, {"n": 0})
    assert len(calls) > 20
    for at in range(1, len(calls) + 1):
        with failing(monkeypatch, at, errno.ENOSPC), pytest.raises(OSError, match="No space"):
            save(file, {"n": at})
        in_place = calls[at - 1 :] in (["open", "fsync"], ["fsync"])  # only the folder's sync
        assert load(file) == {"n": at if in_place else 0}
        assert [path.name for path in file.parent.iterdir()] == ["one.pt"]
        save(file, {"n": 0})


def test_a_file_that_may_not_grow(file: Path) -> None:
    save(file, STATE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            save(file, {"weights": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert same(load(file), STATE)
    assert [path.name for path in file.parent.iterdir()] == ["one.pt"]


def test_what_the_disk_kept_otherwise_is_noticed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(file, STATE)
    real = os.write

    def altered(fd: int, data: memoryview) -> int:
        return real(fd, bytes(data).replace(b"\x80\x40", b"\x80\x41"))

    monkeypatch.setattr(os, "write", altered)
    with pytest.raises(OSError, match="not what was written"):
        save(file, {"weights": torch.full((100,), 4.0)})
    assert same(load(file), STATE)


def test_what_is_no_checkpoint(file: Path) -> None:
    assert refusal(file) == "one.pt: No such file or directory"
    file.mkdir()
    assert refusal(file) == "one.pt: not a regular file"
    file.rmdir()
    os.mkfifo(file)
    assert refusal(file) == "one.pt: not a regular file"
    file.unlink()
    digest = "one.pt: damaged, or not a checkpoint of fivestep: its digest is not right"
    for data in (b"", b"PK", bytes(500)):
        file.write_bytes(data)
        assert refusal(file) == digest
    torch.save(STATE, file)
    assert refusal(file) == digest, "torch.save gives no digest"
    signed(file)
    assert refusal(file) == "one.pt: not a checkpoint of fivestep", "no format"
    torch.save([1, 2], file)
    signed(file)
    assert refusal(file) == "one.pt: not a checkpoint of fivestep", "no dict"
    torch.save({"format": 2, "a": 1}, file)
    signed(file)
    assert refusal(file) == "one.pt: saved by a newer fivestep (format 2, this one knows 1)"


def test_a_link_is_not_followed(file: Path, tmp_path: Path) -> None:
    save(tmp_path / "other.pt", STATE)
    file.symlink_to("other.pt")
    assert refusal(file) == "one.pt: a symbolic link, which is not followed"


def test_weights_only_can_not_be_turned_off(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (file.parent / "canary",)

    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({"format": 1, "a": Bomb()}, file, pickle_module=pickle)
    signed(file)
    assert refusal(file) == "one.pt: holds more than tensors and plain values: not loaded"
    assert not (file.parent / "canary").exists()


def test_hostile_files_by_the_hundred() -> None:
    """Cut short, altered, and armed with the right digest: see the campaign."""
    result = f09_hostile_checkpoints.campaign(200, seed=1)
    assert (result.trials, result.lost) == (200, 0), result.notes
