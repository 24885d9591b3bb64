"""`fivestep.watch` in a notebook: one display instead of lines."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import fivestep
from fivestep.tui.render.notebook import StepShare, notebook_picture

LOOP = """
import torch
from torch import nn
import fivestep

model = nn.Linear(3, 1)
features = torch.randn(64, 3)
loader = torch.utils.data.DataLoader(list(zip(features, features.sum(1, keepdim=True))), 16)
criterion, optimizer = nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.1)
with fivestep.watch(model, optimizer, criterion) as watched:
    for epoch in range(3):
        for x, y in watched(loader):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
print("the script's own")
"""


class FakeNotebook:
    """Stands in for IPython in a kernel."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, kernel: object = "kernel") -> None:
        self.shown: list[dict[str, str]] = []
        self.displays = 0
        self.fails = False
        package, module = ModuleType("IPython"), ModuleType("IPython.display")
        package.get_ipython = lambda: SimpleNamespace(kernel=kernel)  # type: ignore[attr-defined]
        module.display = self.display  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", package)
        monkeypatch.setitem(sys.modules, "IPython.display", module)

    def display(self, picture: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        self.displays += 1
        self.update(picture, raw=raw)
        return self

    def update(self, picture: dict[str, str], *, raw: bool) -> None:
        if self.fails:
            raise RuntimeError("the front end is gone")
        self.shown.append(picture)


def train(notebook: FakeNotebook | None = None, epochs: int = 2) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    loader = [(torch.randn(8, 3), torch.randn(8, 1)) for _ in range(4)]
    criterion, optimizer = nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    with fivestep.watch(model, optimizer, criterion) as watched:
        for epoch in range(epochs):
            if notebook is not None:
                notebook.fails = epoch > 0
            for x, y in watched(loader):
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                optimizer.step()
    return model


def test_a_cell_has_one_display_that_ends_with_all_there_was_to_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = train()
    capsys.readouterr()
    notebook = FakeNotebook(monkeypatch)
    watched = train()
    assert notebook.displays == 1
    assert capsys.readouterr().out == ""
    last = notebook.shown[-1]
    heading, losses, *rows = last["text/plain"].splitlines()
    assert heading.startswith("watching Linear, 4 parameters, SGD lr 0.1")
    assert "loss of the last 8 batches, " in losses
    assert [row.split()[0] for row in rows[:4]] == ["data", "zero_grad", "forward", "loss"]
    assert any(row.startswith("epoch 2  4 batches  train loss ") for row in rows)
    assert any(row.startswith("finished after 2 epochs, 8 batches") for row in rows)
    assert "<polyline" in last["text/html"]
    for a, b in zip(bare.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)


def test_where_the_display_fails_lines_take_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train(FakeNotebook(monkeypatch))
    out = capsys.readouterr().out
    assert out.startswith("watching Linear, ")
    assert out.count("watching Linear, ") == 1
    assert "finished after 2 epochs" in out


def test_ipython_on_a_terminal_gets_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = FakeNotebook(monkeypatch, kernel=None)
    train()
    assert notebook.displays == 0
    assert "finished after 2 epochs" in capsys.readouterr().out


def test_what_is_said_is_no_html_and_what_is_no_number_leaves_a_gap() -> None:
    steps = [StepShare("forward", 0.5, "~")]
    losses = (1.0, float("nan"), 3.0, 2.0)
    picture = notebook_picture(["watching <b>", *map(str, range(20))], "now", losses, steps)
    assert "watching &lt;b&gt;" in picture["text/html"]
    assert "<b>b" not in picture["text/html"]
    assert picture["text/html"].count("<polyline") == 2
    assert "▁ █▅" in picture["text/plain"]
    assert "~50 %" in picture["text/plain"]
    assert "... 8 lines before\n8\n" in picture["text/plain"]
    assert "<polyline" not in notebook_picture([], "", (float("inf"),), [])["text/html"]


@pytest.mark.slow
def test_a_real_kernel_shows_one_display_and_what_the_cell_prints() -> None:
    client, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(LOOP)])
    client.NotebookClient(notebook, timeout=100).execute()
    shown, printed = notebook.cells[0].outputs
    assert shown.output_type == "display_data"
    assert "finished after 3 epochs, 12 batches" in shown.data["text/plain"]
    assert "<polyline" in shown.data["text/html"]
    assert printed.text == "the script's own\n"
