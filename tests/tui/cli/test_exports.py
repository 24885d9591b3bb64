"""`fivestep export`: weights and tables of a kept run, for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fivestep.core.storage.checkpoint import CheckpointStore
from fivestep.core.storage.run_directory import RunDirectory
from fivestep.core.storage.safetensors_file import write_safetensors
from fivestep.tui.setup.options import runs_folder

from ..conftest import Cli

RUN = ("train", "line-linear", "--no-ui", "--device", "cpu", "--epochs", "2", "--name", "one")


def read_safetensors(file: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """By the format's own description; floats only."""
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    about = header.pop("__metadata__")
    tensors = {}
    for name, one in header.items():
        start, end = one["data_offsets"]
        kind = {"F32": torch.float32, "BF16": torch.bfloat16, "I64": torch.int64}[one["dtype"]]
        raw = bytearray(data[8 + length + start : 8 + length + end])
        flat = torch.frombuffer(raw, dtype=kind) if raw else torch.empty(0, dtype=kind)
        tensors[name] = flat.reshape(one["shape"])
    assert length % 8 == 0
    return about, tensors


def test_best_and_last_weights_are_safetensors(cli: Cli, tmp_path: Path) -> None:
    cli(*RUN)
    file = tmp_path / "weights.safetensors"
    store = CheckpointStore(RunDirectory(runs_folder() / "one").checkpoints)
    told = cli("export", "one", "--safetensors", str(file)).out
    assert "weights.safetensors: the weights of run one, best checkpoint: " in told
    about, tensors = read_safetensors(file)
    assert (about["run"], about["model"], about["format"]) == ("one", "linear", "pt")
    for name, weights in store.best()["model"].items():
        assert torch.equal(tensors[name], weights)
    assert (
        "last checkpoint"
        in cli("export", "one", "--safetensors", str(file), "--last", "--overwrite").out
    )
    assert read_safetensors(file)[0]["batches_done"] == "50"
    library = pytest.importorskip("safetensors.torch")
    assert library.load_file(file).keys() == tensors.keys()


def test_tensors_of_any_shape_and_place_in_memory_come_back(tmp_path: Path) -> None:
    whole = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    tensors = {
        "turned": whole.T,
        "part": whole[1:, ::2],
        "half": whole.bfloat16(),
        "number": torch.tensor(7),
        "none": torch.empty(0, 3),
        "again": whole.T,
    }
    write_safetensors(tmp_path / "file", tensors, {})
    _, found = read_safetensors(tmp_path / "file")
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor), name
    with pytest.raises(ValueError, match="odd is of type complex64"):
        write_safetensors(tmp_path / "file", {"odd": torch.zeros(1, dtype=torch.complex64)}, {})


def test_numbers_are_a_parquet_file(cli: Cli, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    cli(*RUN)
    file = tmp_path / "one.parquet"
    assert "50 rows" in cli("export", "one", "--parquet", str(file)).out
    table = parquet.read_table(file)
    assert table["batches_done"].to_pylist() == list(range(1, 51))
    assert str(table.schema.field("loss").type) == "double"
    cli("export", "one", "--parquet", str(file), "--epochs", "--overwrite")
    assert parquet.read_table(file)["metrics.r2"].to_pylist()[-1] > 0.5


def test_a_file_that_is_there_is_only_replaced_if_asked(cli: Cli, tmp_path: Path) -> None:
    cli(*RUN)
    file = tmp_path / "one.csv"
    assert (
        f"{file}: the numbers of run one, a row a batch"
        in cli("export", "one", "-o", str(file)).err
    )
    file.write_text("mine")
    for kind in ("-o", "--safetensors"):
        told = cli.refused("export", "one", kind, str(file))
        assert "is there already; --overwrite replaces it" in told
    assert file.read_text() == "mine"
    cli("export", "one", "-o", str(file), "--overwrite", "--epochs")
    assert len(file.read_text().splitlines()) == 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_that_was_resumed_is_in_tensorboard_once(cli: Cli, tmp_path: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = str(tmp_path / "board")
    cli(*RUN, "--tensorboard", board)
    cli("resume", "one", "--no-ui", "--epochs", "3", "--tensorboard", board)
    assert f"tensorboard --logdir {tmp_path}" in cli("export", "one", "--tensorboard", board).out
    events = reading.EventAccumulator(f"{board}/one", {"scalars": 0}, purge_orphaned_data=False)
    events.Reload()
    assert [one.step for one in events.Scalars("loss/train")] == list(range(1, 76))
    times = [one.wall_time for one in events.Scalars("loss/train")]
    assert times == sorted(times)
    assert [one.step for one in events.Scalars("loss/validation")] == [25, 50, 75]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--safetensors", "a", "--parquet", "b"],
            "one export at a time: --parquet, --safe",
        ),
        (["--last"], "--last goes with --safetensors"),
        (["--epochs", "--safetensors", "a"], "--epochs is for CSV and --parquet"),
        (["--safetensors", "nowhere/a"], "there is no run in"),
    ],
)
def test_exports_that_make_no_sense_are_refused(cli: Cli, words: list[str], line: str) -> None:
    assert line in cli.refused("export", *words)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--tensorboard", "digits-mlp"], "that is something to train, expected a folder"),
        (["--no-save", "--tensorboard"], "--tensorboard reads what the run keeps"),
    ],
)
def test_following_that_makes_no_sense_is_refused(cli: Cli, words: list[str], line: str) -> None:
    assert line in cli.refused("train", *words)
