"""What `fivestep explain` prints: true, in words, and the same as an object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fivestep.core.protocol.faults import FAULTS, Fault
from fivestep.tui.cli.explain import FIELDS

from ..conftest import Cli


def explained(cli: Cli, *arguments: str, code: int = 0) -> str:
    """What the command printed, line breaks and indentation taken for single spaces."""
    out, err = cli("explain", *arguments, "--device", "cpu", code=code)
    assert err == "" or code
    return " ".join(out.split())


def in_order(text: str, *parts: str) -> None:
    """All of it is said, one after the other."""
    place = 0
    for part in parts:
        assert part in text[place:], f"{part!r} is missing in {text[place:]!r}"
        place = text.index(part, place) + len(part)


def test_a_batch_is_told_step_by_step(cli: Cli) -> None:
    in_order(
        explained(cli, "line-linear"),
        "The first 2 batches of line-linear: linear on line",
        "Batch 1 of epoch 1: features float32 (32, 1), labels float32 (32, 1)",
        "1 optimizer.zero_grad() Clears every .grad.",
        "> There was nothing to clear",
        "2 outputs = model(features)",
        "> The outputs are float32 (32, 1). No weight and no gradient changed.",
        "3 loss = criterion(outputs, labels)",
        "> The loss is 1.494. No weight and no gradient changed.",
        "4 loss.backward()",
        "> The gradients of 1 layer were filled",
        "none → 1.291",
        "5 optimizer.step()",
        "> The weights moved by 24 % of their size, straight against the gradient (cosine 1.00).",
        "> The same batch again: loss 1.494 → 1.332, lower.",
        "Batch 2 of epoch 1",
        "> The gradients of the batch before were cleared in 1 layer: the norm went from 1.291 to",
        "Train mode and eval mode: the outputs are the same",
    )


def test_lines_are_no_wider_than_a_page(cli: Cli) -> None:
    rows = cli("explain", "docs-gpt", "--batches", "1", "--device", "cpu").out.splitlines()
    assert max(map(len, rows)) <= 88
    assert "     … 14 more" in rows  # of a large model's layers


def test_dropout_and_batch_norm_are_told_by_what_they_do(cli: Cli) -> None:
    in_order(
        explained(cli, "digits-mlp", "--batches", "1"),
        "> The same batch again, with the same dropout: loss",
        "train() loss",
        "the two outputs differ by up to",
        "each time other units are left out",
        "eval() loss",
        "the two outputs are the same",
        "because of Dropout.",
    )
    in_order(
        explained(cli, "digits-cnn", "--batches", "1"),
        "Batch norm moved its averages, which are no weights (features.1, features.5).",
        "AdamW gives every weight a step size of its own",
        "the two outputs are the same; averages moved",
        "the two outputs are the same; nothing moved",
        "because of BatchNorm2d.",
    )


SHOWN = {
    Fault.NO_ZERO_GRAD: "The gradients of 1 layer were added to what was there: the norm of all "
    "together went from 1.291 to 2.834.",
    Fault.LATE_ZERO_GRAD: "> What the backward pass had just computed was cleared in 1 layer",
    Fault.NO_BACKWARD: "4 loss.backward() LEFT OUT on purpose",
    Fault.NO_STEP: "5 optimizer.step() LEFT OUT on purpose",
    Fault.EVAL_MODE: "The model is in eval mode, although it is being trained.",
    Fault.LR_TIMES_100: "higher: the step went too far.",
}


@pytest.mark.parametrize("fault", Fault, ids=str)
def test_what_is_broken_is_explained_before_and_after(cli: Cli, fault: Fault) -> None:
    info = FAULTS[fault]
    in_order(
        explained(cli, "line-linear", "--break-it", fault),
        f"Broken on purpose: {info.label}.",
        f"What to expect: {info.expect}",
        "Batch 1",
        SHOWN[fault],
        "As it went:",
        "With nothing wrong:",
        f"Why ({info.label}): {info.why}",
    )


def test_what_accumulation_leaves_out_is_said(cli: Cli) -> None:
    in_order(
        explained(cli, "line-linear", "--set", "accumulate=2", "--set", "clip_norm=0.5"),
        "5 optimizer.step() not in this batch > The gradients of 2 batches add up",
        "Batch 2",
        "1 optimizer.zero_grad() not in this batch",
        "were added to what was there",
        "> The gradients were shortened",
        "5 optimizer.step() > The weights moved",
    )


def fields(record: dict[str, Any], kind: str) -> None:
    assert list(record) == list(FIELDS[kind])


def test_the_object_has_the_fields_that_are_documented(cli: Cli) -> None:
    text = explained(cli, "digits-mlp", "--json", "--break-it", "no-step")
    record = json.loads(text)
    assert record.pop("type") == "explain"
    fields(record, "explain")
    fields(record["modes"], "modes")
    assert len(record["batches"]) == len(record["intact"]) == 2
    for batch in (*record["batches"], *record["intact"]):
        fields(batch, "batch")
        for phase in batch["phases"]:
            fields(phase, "phase")
            for layer in phase["layers"]:
                fields(layer, "layer")
    first, intact = record["batches"][0], record["intact"][0]
    assert first["loss"] == intact["loss"] == first["loss_again"] > intact["loss_again"]
    assert [phase["taken"] for phase in first["phases"]] == [True] * 4 + [False]
    assert [s["switch"] for s in record["switches"]] == ["no-step"]


def test_a_python_file_is_explained_too_and_a_failing_step_is_told(
    cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "from fivestep.core.training.training import Training\n"
        "def training():\n"
        "    model = torch.nn.Linear(3, 2)\n"
        "    data = [(torch.ones(4, 3), torch.zeros(4, 2)), (torch.ones(4, 5), torch.ones(4, 2))]\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
        "    return Training(model, torch.nn.MSELoss(), optimizer, data)\n"
    )
    out, err = cli("explain", str(file), code=1)
    assert "Batch 1 of epoch 1: features float32 (4, 3)" in out
    assert "Batch 2" not in out
    assert err == (
        f"fivestep: {file}:4 in training, epoch 1, batch 2, forward: the model (Linear) expects "
        "3 features, got 5 from the data: an input of (4, 5)\n"
    )


def test_nothing_is_kept(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FIVESTEP_RUNS")
    explained(cli, "line-linear")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--batches", "0"], "--batches: expected a number from 1 to 1,000"),
        (["--break-it", "no-stepp"], '"no-stepp"; did you mean no-step?'),
        (["line-linaer"], "did you mean line-linear?"),
    ],
)
def test_wrong_usage_gets_one_line(cli: Cli, arguments: list[str], line: str) -> None:
    assert line in cli.refused("explain", *arguments)
