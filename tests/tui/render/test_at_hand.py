"""The batch, the parameters and the epochs as lines."""

from __future__ import annotations

from fivestep.core.protocol.at_hand import (
    BatchContent,
    BatchTensor,
    EpochRow,
    EpochTable,
    Formula,
    ParameterRow,
    ParameterTable,
)
from fivestep.tui.render.at_hand import at_hand, last_row, scrolled, written

from ..conftest import text, texts

SGD = Formula("w", (2.0428, "-", 0.1, "×", 0.0997), 2.0328)


def test_formulas_are_written_as_people_write_them() -> None:
    assert written(SGD) == "w 2.0428 - 0.1 × 0.0997 = 2.0328"
    assert written(Formula("v", (0.999, "×", 0.0, "+", 0.001, "×", -0.5, "²"), 0.00025)) == (
        "v = 0.999 × 0 + 0.001 × (-0.5)² = 0.00025"
    )
    corrected = Formula("m corrected", (0.1, "/ (1 -", 0.9, "^3 )"), 0.369)
    assert written(corrected) == "m corrected = 0.1 / (1 - 0.9^3) = 0.369"
    adam = Formula("w", (1.0, "-", 0.001, "×", 0.369, "/ (√", 0.25, "+", 1e-8, ")"), 0.99926)
    assert written(adam) == "w 1 - 0.001 × 0.369 / (√0.25 + 1e-8) = 0.99926"


def test_parameters_tell_their_numbers_gradients_and_updates() -> None:
    added = Formula("gradient", (0.05, "+", 0.0497), 0.0997)
    table = ParameterTable(
        (
            ParameterRow(
                "weight", (1, 1), 2.03, 0.0997, "", (2.0328,), (0.0997,), (added,), (SGD,)
            ),
            ParameterRow("bias", (1,), 0.5, None, "frozen: requires_grad is False", (0.5,)),
        ),
        "SGD",
        12,
    )
    assert [row.strip() for row in texts(at_hand(table, 60, 20))] == [
        "parameter      shape     norm gradient",
        "weight           1x1    2.030   0.0997",
        "w         2.0328",
        "gradient  0.0997",
        "gradient 0.05 + 0.0497 = 0.0997, added up",
        "SGD in batch 12:",
        "w 2.0428 - 0.1 × 0.0997 = 2.0328",
        "bias               1   0.5000     None",
        "frozen: requires_grad is False",
        "w         0.5",
        "gradient  None",
    ]


def test_a_batch_says_how_its_loss_came_about() -> None:
    tensors = (
        BatchTensor("features", "float32 (2, 3) cpu", ((0.5, 1.5, 2.5), (1.0, 2.0, 3.0)), 3),
        BatchTensor("labels", "int64 (2,) cpu", ((0.0,), (1.0,)), 1),
    )
    early = BatchContent(1, 4, tensors, labels=("cat", "dog"), criterion="NLLLoss", samples=2)
    shown = texts(at_hand(early, 60, 20))
    assert shown[0] == "batch 4 of epoch 1: 2 samples"
    assert "outputs  — not computed yet" in shown
    assert "loss     — not computed yet; the criterion is NLLLoss" in shown
    assert shown[-1].split() == ["2", "1.000", "2.000", "3.000", "dog"]
    late = BatchContent(
        1, 4, tensors, labels=("cat", "dog"), predicted=(("cat", 0.9), ("cat", 0.6)),
        losses=(0.1, 0.9), average=0.5, loss=0.5, criterion="NLLLoss", samples=2,
    )  # fmt: skip
    shown = texts(at_hand(late, 80, 20))
    assert "loss     0.5000 by NLLLoss: the average of the 2 samples' own losses" in shown
    assert shown[-1].split() == ["2", "1.000", "2.000", "3.000", "dog", "cat", "60", "%", "0.9000"]


def test_a_short_window_shows_a_sample_at_least() -> None:
    rows = tuple((float(n),) for n in range(24))
    tensors = tuple(
        BatchTensor(name, "float32 (24, 1) cpu", rows, 1)
        for name in ("features", "labels", "outputs")
    )
    batch = BatchContent(1, 8, tensors, loss=0.5, criterion="MSELoss", samples=24)
    for height in (10, 9, 8, 7, 6, 5, 4):
        shown = texts(scrolled(at_hand(batch, 60, height), height, 0))
        assert len(shown) == height
        assert any(row.split() == ["1", "0", "0", "0"] for row in shown), height
        assert "below: PgUp PgDn" in shown[-1]
    whole = texts(at_hand(batch, 60, 5))
    assert sorted(whole) == sorted(row for row in texts(at_hand(batch, 60, 20)) if row)


def test_epochs_come_newest_first_and_say_whether_the_loss_falls() -> None:
    rows = [EpochRow(1, 0.9, 0.8, 0.5, 1.0), EpochRow(2, 0.6, 0.7, 0.6, 1.0)]
    rows.append(EpochRow(3, 0.7, None, None, 1.25))
    shown = texts(at_hand(EpochTable(tuple(rows), "accuracy"), 60, 20))
    assert shown[0].split() == ["epoch", "train", "loss", "val", "loss", "accuracy", "seconds"]
    assert shown[1].split() == ["3", "0.7000", "↑", "—", "—", "1.25"]
    assert shown[2].split() == ["2", "0.6000", "↓", "0.7000", "60.0", "%", "1.00"]
    assert shown[3].split() == ["1", "0.9000", "0.8000", "50.0", "%", "1.00"]
    assert text(at_hand(EpochTable((), "accuracy"), 60, 20)) == "no epoch is finished yet"


def test_a_table_that_is_too_long_says_how_much_is_left() -> None:
    rows = [((str(n), ""),) for n in range(10)]
    assert texts(scrolled(rows, 5, 0)) == ["0", "1", "2", "3", "… 6 below: PgUp PgDn"]
    assert texts(scrolled(rows, 5, 3)) == ["0", "4", "5", "6", "… 3 above and 3 below: PgUp PgDn"]
    assert last_row(rows, 5) == 6
    assert texts(scrolled(rows, 5, 6)) == ["0", "7", "8", "9", "… 6 above: PgUp PgDn"]
    assert scrolled(rows, 10, 0) == rows
