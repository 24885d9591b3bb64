"""Every sentence of the guide to the training loop can be seen, at most six keys away."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fivestep.core.protocol.steps import Step

from ..conftest import seen
from .conftest import LONG, Make

LINE = {
    "an epoch is a complete pass, their number a hyperparameter": ([], ["epoch 1/100,000"]),
    "a batch is a subset of the data": ([], ["/25"]),
    "the loop goes through the batches that the loader provides": (
        [], ["data: The next batch is fetched and moved to the device."],
    ),
    "a batch contains features and labels": (
        ["a", "s"], ["features float32 .32, 1. cpu", "labels float32 .32, 1.", "x0 label"],
    ),
    "zero_grad resets the gradients of all parameters": (
        ["o", "s", "s"], ["1.weight", "gradient None"],
    ),
    "the forward pass gives predictions": (
        ["a", "s", "s", "s"], ["outputs float32 .32, 1. cpu", "label output"],
    ),
    "the criterion compares them with the labels; the loss is the average of the batch": (
        ["a", "s", "s", "s", "s"], ["by MSELoss: the average of", "32 samples'", "output loss"],
    ),
    "the backward pass computes a gradient for each parameter": (
        ["o", "s", "s", "s", "s", "s"], [r"gradient -?\d"],
    ),
    "the optimizer moves parameters by its rule and the learning rate": (
        ["o", "b"], ["SGD in batch ", " - 0.1 × "],
    ),
    "each batch's loss is tracked": (["b"], ["loss 0."]),
    "its average is printed for each epoch": (["E", "e"], ["train loss", "val loss", "seconds"]),
    "a decreasing average loss indicates success": (["E", "e"], [" ↓"]),
    "before validation comes model.eval()": (["up", "up"], ["eval mode", "dropout is off"]),
    "without zero_grad, gradients of batches before are added": (
        ["k", "enter", "escape", "o", "b", "b"], [", added up", "zero_grad left out"],
    ),
}  # fmt: skip
"""What the guide says, the keys from a pause between two batches, and patterns of what is seen."""
STEERING = ("s", "b", "e")


async def look(at: Any, keys: list[str], texts: list[str]) -> None:
    """Press the keys and wait for the texts; then close what was opened, between two batches."""
    for key in keys:
        if key in STEERING:
            await at.advance(key)
        else:
            await at.pilot.press(key)
            at.screen.tick()
            await at.pilot.pause()
    await at.until(lambda: all(re.search(text, words(at)) for text in texts))
    for key in {*keys} & {"a", "o", "E", "i"}:
        await at.pilot.press(key)
    await at.pilot.press("escape")
    if at.screen.snapshot.step is not Step.DATA:
        await at.advance("b")


def words(at: Any) -> str:
    """What is on the screen, without the line breaks within panels."""
    rows = [row.split("│")[-2] if "│" in row else row for row in seen(at.app).splitlines()]
    left = [row.split("│")[1] if "│" in row else "" for row in seen(at.app).splitlines()]
    return " ".join(" ".join([*left, *rows]).split())


@pytest.mark.parametrize("size", [(120, 36), (80, 24)])
async def test_every_sentence_of_the_guide_is_seen(run: Make, size: tuple[int, int]) -> None:
    assert all(len(keys) <= 6 for keys, _ in LINE.values())
    async with run("line-linear", size) as at:
        for said, (keys, texts) in LINE.items():
            try:
                await look(at, keys, texts)
            except TimeoutError:
                pytest.fail(f"not seen: {said}\n{seen(at.app)}")


async def test_dropout_is_off_in_eval_mode_and_frozen_parameters_say_so(run: Make) -> None:
    overrides = {**LONG, "freeze": ["features.1.*"], "model.widths": [8]}
    async with run("digits-mlp", (120, 36), overrides) as at:
        await look(at, ["i", "s"], ["zeros 20%"])
        await look(at, ["o", "b"], ["frozen: requires_grad is False"])
        await look(at, ["k", "up", "up", "enter", "escape", "b"], ["model.train.. forgotten"])
        await look(at, ["i", "s"], [r"features.3 .*\boff\b"])
