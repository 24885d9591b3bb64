"""Frameworks as their tutorials use them, run by `fivestep run` and without it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DATA = """
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(1)
x = torch.randn(100, 20)
y = x[:, :3].argmax(1)
train = DataLoader(TensorDataset(x[:60], y[:60]), batch_size=10, shuffle=True)
val = DataLoader(TensorDataset(x[60:], y[60:]), batch_size=15)
model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 3))
criterion = nn.CrossEntropyLoss()
losses, validations = [], []
"""
END = """
import json
parameters = sum(p.double().sum().item() for p in model.parameters())
print("RESULT", json.dumps([losses, validations, parameters]))
"""
LIGHTNING = """
import lightning as L

class Classifier(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = model

    def training_step(self, batch, batch_idx):
        features, labels = batch
        loss = F.cross_entropy(self.net(features), labels)
        losses.append(loss.item())
        return loss

    def validation_step(self, batch, batch_idx):
        features, labels = batch
        self.log("val_loss", F.cross_entropy(self.net(features), labels))

    def on_validation_epoch_end(self):
        if not self.trainer.sanity_checking:
            validations.append(self.trainer.callback_metrics["val_loss"].item())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)

trainer = L.Trainer(
    max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False,
    enable_progress_bar=False, accumulate_grad_batches=2, gradient_clip_val=1.0,
)
trainer.fit(Classifier(), train, val)
"""
KERAS = """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras
import torch
keras.utils.set_random_seed(1)
x = torch.randn(100, 20).numpy()
y = x[:, :3].argmax(1)
layers = [keras.Input((20,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(3)]
model = keras.Sequential(layers)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(0.01), loss)
kept = model.fit(
    x[:60], y[:60], epochs=3, batch_size=10, validation_data=(x[60:], y[60:]), verbose=0,
)
losses, validations = [], kept.history["val_loss"]
"""
TRANSFORMERS = """
import tempfile
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

class Words(torch.utils.data.Dataset):
    def __len__(self):
        return 60

    def __getitem__(self, i):
        ids = (x[i] * 20).long() + 50
        return {"input_ids": ids.clamp(0, 99), "labels": y[i] % 2}

model = BertForSequenceClassification(BertConfig(
    vocab_size=100, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=32, num_labels=2, max_position_embeddings=32,
))
with tempfile.TemporaryDirectory() as folder:
    trainer = Trainer(
        model=model, train_dataset=Words(), eval_dataset=Words(),
        args=TrainingArguments(
            folder, num_train_epochs=3, per_device_train_batch_size=10, eval_strategy="epoch",
            per_device_eval_batch_size=20, save_strategy="no", logging_steps=1, report_to=[],
            use_cpu=True, disable_tqdm=True,
        ),
    )
    trainer.train()
history = trainer.state.log_history
losses = [float(row["loss"]) for row in history if "loss" in row]
validations = [float(row["eval_loss"]) for row in history if "eval_loss" in row]
"""
ACCELERATE = """
from accelerate import Accelerator
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
model, optimizer, train, val = accelerator.prepare(model, optimizer, train, val)
for epoch in range(3):
    model.train()
    for features, labels in train:
        with accelerator.accumulate(model):
            loss = F.cross_entropy(model(features), labels)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    model.eval()
    total = 0.0
    with torch.no_grad():
        for features, labels in val:
            total += F.cross_entropy(model(features), labels).item() * len(labels)
    validations.append(total / 40)
"""
IGNITE = """
from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
from ignite.metrics import Loss
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
trainer = create_supervised_trainer(model, optimizer, criterion)
evaluator = create_supervised_evaluator(model, metrics={"loss": Loss(criterion)})
trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: losses.append(e.state.output))

@trainer.on(Events.EPOCH_COMPLETED)
def validate(engine):
    evaluator.run(val)
    validations.append(evaluator.state.metrics["loss"])

trainer.run(train, max_epochs=3)
"""
SKORCH = """
from skorch import NeuralNetClassifier
net = NeuralNetClassifier(
    model, criterion=nn.CrossEntropyLoss, max_epochs=3, lr=0.1, batch_size=10, verbose=0,
    train_split=None,
)
net.fit(x[:60].numpy(), y[:60].numpy())
model = net.module_
losses = [row["train_loss"] for epoch in net.history for row in epoch["batches"]]
"""
SCRIPTS = {
    "lightning": DATA + LIGHTNING,
    "keras": KERAS,
    "transformers": DATA + TRANSFORMERS,
    "accelerate": DATA + ACCELERATE,
    "ignite": DATA + IGNITE,
    "skorch": DATA + SKORCH,
}


def result(folder: Path, *before: str) -> tuple[list[Any], str]:
    """Losses, validations and the parameters' sum, and what was told on stderr."""
    done = subprocess.run(
        [sys.executable, *before, "train.py"],
        cwd=folder, capture_output=True, text=True, timeout=280,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "FIVESTEP_RUNS": str(folder / "runs")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.search("^RESULT (.*)$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    return json.loads(found[1]), done.stderr


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_framework_is_watched_without_a_change(name: str, tmp_path: Path) -> None:
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    script = SCRIPTS[name] + END
    (tmp_path / "train.py").write_text(textwrap.dedent(script), encoding="utf-8")
    bare, _ = result(tmp_path)
    records = tmp_path / "records.jsonl"
    command = ("-m", "fivestep", "run", "--no-ui", "--no-save", f"--json={records}")
    watched, told = result(tmp_path, *command)
    assert watched == bare
    assert "could not go on" not in told
    losses, validations, _ = bare

    rows = [json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()]
    by_type = {kind: [row for row in rows if row["type"] == kind] for kind in ("batch", "epoch")}
    start = next(row for row in rows if row["type"] == "run_start")
    assert (start["epochs"], start["batches_per_epoch"], start["batch_size"]) == (3, 6, 10)
    assert [row["epoch"] for row in by_type["batch"]] == [1] * 6 + [2] * 6 + [3] * 6
    assert [row["batches"] for row in by_type["epoch"]] == [6, 6, 6]
    assert by_type["batch"][0]["lr"] is not None
    if losses:
        assert [row["loss"] for row in by_type["batch"]] == pytest.approx(losses, rel=1e-3)
    shown = [row["val_loss"] for row in by_type["epoch"]]
    assert shown == (pytest.approx(validations, rel=1e-3) if validations else [None] * 3)
