"""What a comparison finds, and the conditions that it can be held against."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from kept import keep  # tests is on the path

from fivestep.core.comparison import foreign
from fivestep.core.comparison.comparison import Comparison, FailIf
from fivestep.core.comparison.foreign import called, read_foreign
from fivestep.core.comparison.kept_run import read_run
from fivestep.core.protocol.conditions import ConditionError
from fivestep.core.storage.log_file import line
from fivestep.core.storage.run_directory import RunDirectory, RunError

LOSSES = (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2)


def compared(folder: Path, *names: str) -> Comparison:
    return Comparison([read_run(RunDirectory.look(folder, name)) for name in names])


def test_runs_part_at_the_first_batch_of_which_a_single_bit_differs(tmp_path: Path) -> None:
    keep(tmp_path, "a", LOSSES)
    keep(tmp_path, "b", (*LOSSES[:5], math.nextafter(0.3, 1), *LOSSES[6:]))
    keep(tmp_path, "c", LOSSES[:6], lr=0.2)
    keep(tmp_path, "d", (-0.0, None))
    keep(tmp_path, "e", (0.0, None))
    first, other, shorter = compared(tmp_path, "a", "b", "c").likenesses
    assert first is None
    at = other.parting
    assert (at.metric, at.batches, at.epoch, at.batch) == ("loss", 6, 2, 2)
    assert at.values == (0.3, math.nextafter(0.3, 1))
    assert (shorter.compared, shorter.parting, shorter.lr.batches) == (6, None, 1)
    assert compared(tmp_path, "d", "e").likenesses[1].parting.batches == 1
    assert compared(tmp_path, "d", "d").likenesses[1].parting is None


def test_a_window_of_batches_parts_as_one(tmp_path: Path) -> None:
    for name, high in (("a", 0.9), ("b", 0.8)):
        path = keep(tmp_path, name, LOSSES)
        window = {"type": "window", "epoch": 3, "batch": 2, "batches_done": 10, "batches": 2}
        values = {"loss_min": 0.1, "loss_mean": 0.2, "loss_max": high, "bad": 1, "lr": 0.1}
        with (path / "metrics.jsonl").open("ab") as log:
            log.write(line(window | values))
    found = compared(tmp_path, "a", "b")
    assert found.likenesses[1].parting.batches == 10
    curve = found.runs[0].points["loss"].curve("batches")
    assert (curve.x[-1], curve.high[-1], curve.bad[-1]) == (10, 0.9, 1)
    assert found.runs[0].points["loss"].curve("epochs").x[-1] == 2.5


def test_only_settings_that_differ_are_told(tmp_path: Path) -> None:
    keep(tmp_path, "a", LOSSES, meta={"threads": 1, "versions": {"torch": "2.10"}})
    meta = {"threads": 1, "ranks": 2, "versions": {"torch": "2.11"}}
    keep(tmp_path, "b", LOSSES, lr=0.2, meta=meta)
    assert compared(tmp_path, "a", "b").differing == {
        "optimizer.lr": (0.1, 0.2),
        "ranks": (1, 2),
        "versions.torch": ("2.10", "2.11"),
    }


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("val_loss > 1.02 * A", ["B"]),
        ("val_loss > A or accuracy < A", ["B"]),
        ("accuracy > A and (val_loss < 0.9 * A)", ["C"]),
        ("best_accuracy < A", ["B"]),
        ("val_loss > B", []),
        ("loss > 0.2", ["B"]),
        ("val_loss - A > 0.19", ["B"]),
    ],
)
def test_a_condition_holds_each_other_run_against_the_first(
    tmp_path: Path, text: str, letters: list[str]
) -> None:
    keep(tmp_path, "a", LOSSES)
    keep(tmp_path, "b", (*LOSSES[:-1], 0.4))
    keep(tmp_path, "c", (*LOSSES[:-1], 0.1))
    assert FailIf(text, compared(tmp_path, "a", "b", "c")).failing() == letters


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("val_los > A", 'column 1: there is no "val_los"; did you mean val_loss?'),
        ("val_loss > C", 'there is no "C"'),
        ("val_loss > 1.02 * A * loss", "name exactly one metric"),
        ("A > 1", "name exactly one metric"),
        ("mae > A", "A (a) has no mae"),
        ("__import__(1) > 2", 'there is no "__import__"'),
        ("nonfinite", 'there is no "nonfinite"'),
    ],
)
def test_a_condition_that_makes_no_sense_gets_one_line(
    tmp_path: Path, text: str, problem: str
) -> None:
    keep(tmp_path, "a", LOSSES)
    path = keep(tmp_path, "b", LOSSES)
    with (path / "metrics.jsonl").open("ab") as log:
        log.write(line({"type": "epoch", "batches_done": 8, "metrics": {"mae": 1.0}}))
    with pytest.raises(ConditionError) as error:
        FailIf(text, compared(tmp_path, "a", "b")).failing()
    assert problem in str(error.value)


def test_a_loss_that_is_not_finite_never_passes(tmp_path: Path) -> None:
    keep(tmp_path, "a", LOSSES)
    keep(tmp_path, "b", (*LOSSES[:-1], None))
    assert FailIf("loss > 100", compared(tmp_path, "a", "b")).failing() == ["B"]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("eval_loss", "val_loss"),
        ("loss/validation", "val_loss"),
        ("val_loss_epoch", "val_loss"),
        ("eval_accuracy", "accuracy"),
        ("val_acc", "accuracy"),
        ("train_loss_step", "loss"),
        ("learning_rate", "lr"),
        ("loss/train", "loss"),
        ("loss/train_epoch", "train_loss"),
        ("train_acc", "train_acc"),
        ("interval_loss", "interval_loss"),
    ],
)
def test_metrics_of_others_go_by_our_names(theirs: str, ours: str) -> None:
    assert called(theirs) == ours


@pytest.mark.parametrize(
    ("limit", "problem"), [("LONGEST", "longer than 40 bytes"), ("MOST", "larger than 40 bytes")]
)
def test_a_table_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, problem: str
) -> None:
    file = tmp_path / "metrics.csv"
    file.write_text("step,val_loss\n1,0.5\n2," + "0" * 40 + "\n")
    assert read_foreign(str(file)).best("val_loss") == (0.0, 3)
    monkeypatch.setattr(foreign, limit, 40)
    with pytest.raises(RunError, match=problem):
        read_foreign(str(file))


def test_a_step_that_is_no_number_is_passed_over(tmp_path: Path) -> None:
    steps = ("NaN", "1e999", "[3]", "4")
    entries = ", ".join(f'{{"step": {step}, "eval_loss": 0.5}}' for step in steps)
    file = tmp_path / "trainer_state.json"
    file.write_text(f'{{"log_history": [{entries}]}}')
    assert read_foreign(str(file)).best("val_loss") == (0.5, 4)
