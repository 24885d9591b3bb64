"""Event files for TensorBoard: names, steps and times, and nothing twice."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest
from kept import keep  # tests is on the path

from fivestep.core.storage import event_file
from fivestep.core.storage.event_file import EventFollower, export_events
from fivestep.core.storage.log_file import line
from fivestep.core.storage.run_directory import RunDirectory

pytest.importorskip("tensorboard")
ignored = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Points = dict[str, list[tuple[int, float, float]]]


def read(folder: Path) -> Points:
    """(step, wall time, value) of each scalar, as TensorBoard itself reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}, purge_orphaned_data=False)
    events.Reload()
    return {
        name: [(one.step, one.wall_time, one.value) for one in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


@ignored
def test_scalars_have_the_names_steps_and_times_that_are_expected(tmp_path: Path) -> None:
    again = [{"time": 1.9e9, "batches_done": 6}]
    path = keep(
        tmp_path, "one", [0.5, None, 0.25, 0.2, 0.1, 0.1, 0.1, 0.1], meta={"resumes": again}
    )
    export_events(RunDirectory(path), tmp_path / "events")
    found = read(tmp_path / "events")
    assert found.keys() == {
        *("loss/train", "loss/train_epoch", "loss/validation", "accuracy/validation"),
        *("lr", "epoch", "batches_per_second"),
    }
    steps, times, losses = zip(*found["loss/train"], strict=True)
    assert steps == tuple(range(1, 9))
    assert times[:6] == pytest.approx([1.8e9 + done / 10 for done in range(1, 7)])
    assert times[6:] == pytest.approx([1.9e9, 1.9e9 + 0.1])  # it was resumed then
    assert math.isnan(losses[1])
    assert losses[3] == pytest.approx(0.2)
    assert [step for step, _, _ in found["lr"]] == list(range(1, 9)), "one a batch"
    assert [(step, value) for step, _, value in found["epoch"]] == [(4, 1), (8, 2)]
    assert found["accuracy/validation"][1][2] == pytest.approx(0.9)


@ignored
def test_groups_and_windows_have_names_of_their_own(tmp_path: Path) -> None:
    path = keep(tmp_path, "one", [])
    window = {"batches_done": 110, "loss_min": 0.1, "loss_mean": 0.2, "loss_max": 9.0}
    lrs = {"lr": 0.1, "lrs": {"head": 0.1, "body": 0.01}}
    record = {"type": "window", "epoch": 1} | window | lrs | {"elapsed": 3.0}
    (path / "metrics.jsonl").write_bytes(line(record))
    export_events(RunDirectory(path), tmp_path / "events")
    found = {name: points[0][2] for name, points in read(tmp_path / "events").items()}
    assert found == pytest.approx(
        {"lr/head": 0.1, "lr/body": 0.01}
        | {"loss/train": 0.2, "loss/train_min": 0.1, "loss/train_max": 9.0}
    )


@ignored
def test_what_is_followed_while_it_grows_has_nothing_twice_though_the_run_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_file, "INTERVAL", 0.01)
    path = keep(tmp_path, "one", [0.5, 0.4, 0.3])
    events = tmp_path / "events/one"
    events.mkdir(parents=True)
    (events / "events.out.tfevents.1.somebody").write_text("of another program")
    said: list[str] = []
    follower = EventFollower(RunDirectory(path), str(events.parent), said.append)

    def ours() -> Points:
        files = list(events.glob("*.fivestep"))
        return read(files[0]) if files else {}

    def wait_for(values: list[float]) -> None:
        until = time.monotonic() + 60
        while [value for _, _, value in ours().get("loss/train", [])] != pytest.approx(values):
            assert time.monotonic() < until
            time.sleep(0.01)

    wait_for([0.5, 0.4, 0.3])
    log = path / "metrics.jsonl"
    rows = log.read_bytes().splitlines(keepends=True)
    changed = [json.loads(row) | {"loss": 0.8} for row in rows[1:]]
    with log.open("r+b") as file:  # back to batch 1, and three batches from there at once
        file.truncate(len(rows[0]))
        file.seek(0, 2)
        for record in (*changed, changed[-1] | {"batches_done": 4}):
            record.pop("crc", None)
            file.write(line(record))
    wait_for([0.5, 0.8, 0.8, 0.8])
    follower.finish()
    follower.wait()
    assert [step for step, _, _ in ours()["loss/train"]] == [1, 2, 3, 4]
    assert len(list(events.iterdir())) == 2
    assert said == []


@ignored
def test_a_folder_that_can_not_be_written_is_told_once(tmp_path: Path) -> None:
    path = keep(tmp_path, "one", [0.5])
    (tmp_path / "no_folder").write_text("")
    said: list[str] = []
    follower = EventFollower(RunDirectory(path), str(tmp_path / "no_folder"), said.append)
    follower.finish()
    follower.wait()
    assert said == ["nothing more is written: Not a directory"]
