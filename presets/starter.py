"""A training of my own: a small network tells two rings of points apart.

    fivestep train my_run.py              on the screen
    fivestep train my_run.py --no-ui      as lines

Change anything here. fivestep runs this file when you name it, and calls `training()`, whose
parameters can be changed from outside: fivestep train my_run.py --set width=64 --lr 0.02
"""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fivestep import About, Task, Training


class Rings(Dataset[tuple[Tensor, Tensor]]):
    """Points on two noisy rings. Any data set will do: images from disk, rows of a table."""

    def __init__(self, samples: int, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(2, (samples,), generator=draw)  # (N,)
        angle = 2 * torch.pi * torch.rand(samples, generator=draw)  # (N,)
        radius = 1.0 + self.labels + 0.2 * torch.randn(samples, generator=draw)  # (N,)
        points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
        self.points = points  # (N, 2)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.points[i], self.labels[i]


def training(lr: float = 0.01, width: int = 32, epochs: int = 20) -> Training:
    """Everything that the run is made of. Any parameter will do, if it has a default."""
    torch.manual_seed(0)  # the first weights are drawn from this
    model = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 2))
    order = torch.Generator().manual_seed(0)
    return Training(
        model=model,
        criterion=nn.CrossEntropyLoss(),  # any function of (outputs, labels) that gives the loss
        optimizer=torch.optim.AdamW(model.parameters(), lr=lr),
        batches=DataLoader(Rings(1000, seed=1), batch_size=50, shuffle=True, generator=order),
        validation=DataLoader(Rings(400, seed=2), batch_size=200),
        epochs=epochs,
        # What the validation measures: "classification" accuracy, "regression" r2,
        # "language-model" perplexity; without a task the loss alone.
        task=Task("classification"),
        seed=0,
        threads=1,  # tensors this small gain nothing from more
        about=About(data="points on two rings", label_names=("inner", "outer")),
        # Batches that are dicts, or more than two things, are taken apart by a function:
        #   unpack=lambda batch: (batch["image"], batch["label"]),
        # Metrics of your own are means over a batch; each is averaged over all samples:
        #   metrics={"sure": lambda outputs, labels: outputs.softmax(1).amax(1).mean()},
        # There is also a schedule, accumulation, clipping and a device (the model goes there
        # first): scheduler=..., accumulate=4, clip_norm=1.0, device=torch.device("cuda").
    )
