"""Batches that are dicts or nested, metrics of one's own, and what is refused."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch
from states import finished  # tests/core is on the path
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fivestep.core.protocol.steps import State, Task
from fivestep.core.session.session import Session
from fivestep.core.training.progress import pair, samples_in, to_device
from fivestep.core.training.training import Training

Both = namedtuple("Both", "image mask")


class Faces(Dataset):
    """Samples as dicts, as many data sets have them."""

    def __len__(self) -> int:
        return 22

    def __getitem__(self, i: int) -> dict[str, object]:
        image = torch.full((1, 4, 4), i / 22)
        return {"image": image, "mask": image > 0.5, "label": i % 2, "file": f"{i}.png"}


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 2)

    def forward(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"scores": self.linear((parts["image"] * parts["mask"]).flatten(1))}


def make(**others: object) -> Training:
    torch.manual_seed(0)
    model = Masked()
    parts = {
        "model": model,
        "criterion": lambda out, y: nn.functional.cross_entropy(out["scores"], y["label"]),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1),
        "batches": DataLoader(Faces(), batch_size=8),
        "validation": DataLoader(Faces(), batch_size=5),
        "unpack": lambda b: ({"image": b["image"], "mask": b["mask"]}, {"label": b["label"]}),
        "epochs": 2,
        "seed": 0,
    }
    return Training(**(parts | others))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_dict_batches_train_and_every_sample_is_counted(accumulate):
    session = finished(make(accumulate=accumulate))
    assert session.progress.samples_done == 2 * 22
    assert session.latest().val_loss is not None


def test_own_metrics_are_means_over_the_samples_and_come_after_the_tasks_own():
    def right(outputs, labels):
        return (outputs["scores"].argmax(1) == labels["label"]).float().mean()

    training = make(metrics={"right": right, "one": lambda outputs, labels: 1.0})
    session = finished(training)
    data = next(iter(DataLoader(Faces(), batch_size=22)))
    with torch.no_grad():
        scores = training.model.eval()(data)["scores"]
    expected = (scores.argmax(1) == data["label"]).float().mean().item()
    assert session.latest().metrics == (
        ("val_loss", session.latest().val_loss),
        ("right", pytest.approx(expected)),
        ("one", 1.0),
    )


def test_a_metric_may_take_the_place_of_f1_but_not_of_accuracy():
    metrics = {"f1": lambda *_: 0.25}
    labels = {"unpack": lambda b: ({k: b[k] for k in ("image", "mask")}, b["label"])}
    loss = {"criterion": lambda out, y: nn.functional.cross_entropy(out["scores"], y)}
    training = make(task=Task("classification"), metrics=metrics, **labels, **loss)
    assert dict(finished(training).latest().metrics)["f1"] == 0.25
    with pytest.raises(ValueError, match="already called accuracy"):
        make(task=Task("classification"), metrics={"accuracy": metrics["f1"]})


def test_a_batch_that_says_not_what_is_what_ends_the_run_with_the_way_out():
    outcome = Session(make(unpack=pair)).run()
    assert outcome.state is State.FAILED
    assert "a dict of image, mask, label, file, not (features, labels)" in outcome.reason
    assert "unpack" in outcome.reason


def test_moving_keeps_the_make_up():
    meta = torch.device("meta")
    one = torch.zeros(3, 2)
    moved = to_device(({"a": one, "n": 7}, [one, "x"], Both(one, one)), meta)
    assert moved[0]["a"].device == moved[1][0].device == moved[2].mask.device == meta
    assert (moved[0]["n"], moved[1][1], type(moved[2])) == (7, "x", Both)


def test_samples_are_counted_in_the_first_tensor_that_has_a_length():
    assert samples_in({"scale": torch.tensor(2.0), "x": torch.zeros(5, 3)}) == 5
    assert samples_in(["a", "b"], torch.zeros(4)) == 4
    assert samples_in("text") == 0


@pytest.mark.parametrize("batch", [(1, 2, 3), torch.zeros(2, 2), "ab"])
def test_only_pairs_are_pairs(batch):
    with pytest.raises(TypeError, match=r"not \(features, labels\)"):
        pair(batch)


class Line(torch.optim.SGD):
    def step(self, closure):
        return super().step(closure)


@pytest.mark.parametrize("optimizer", [torch.optim.LBFGS, Line])
def test_an_optimizer_that_runs_the_model_itself_is_refused(optimizer):
    made = optimizer([nn.Parameter(torch.zeros(2))], lr=0.1)
    with pytest.raises(ValueError, match=f"{optimizer.__name__} runs forward and backward itself"):
        make(optimizer=made)


def test_a_scheduled_optimizer_is_not_taken_for_one():
    model = Masked()
    adam = torch.optim.Adam(model.parameters())
    make(model=model, optimizer=adam, scheduler=torch.optim.lr_scheduler.StepLR(adam, 1))


def test_a_metric_may_not_take_the_tasks_name():
    with pytest.raises(ValueError, match="val_loss"):
        make(metrics={"val_loss": lambda outputs, labels: 0.0})
