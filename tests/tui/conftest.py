"""A run that is not there: pictures of one, and a source that hands them out."""

from __future__ import annotations

import math
import random
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from textual.app import App
from textual.pilot import Pilot

import fivestep.tui
from fivestep.core.protocol.commands import Command
from fivestep.core.protocol.device_reading import DeviceReading
from fivestep.core.protocol.rank_times import RankNow
from fivestep.core.protocol.snapshot import (
    Best,
    Change,
    Curve,
    EpochSummary,
    Outcome,
    PhaseTime,
    RunInfo,
    Snapshot,
)
from fivestep.core.protocol.steps import State, Step
from fivestep.tui.app.app import FivestepApp
from fivestep.tui.cli import app
from fivestep.tui.render.spans import Line
from fivestep.tui.watch.watch import WatchScreen
from fivestep.tui.widgets.messages import MessageLog
from fivestep.tui.widgets.theme import DARK, THEMES

SHARES = (0.02, 0.04, 0.36, 0.06, 0.39, 0.08, 0.03, 0.02, 0.0)
NOON = 1_795_348_800.0  # a fixed time of day (UTC), so that pictures stay the same

INFO = RunInfo(
    name="digits-cnn",
    data="1,438 images 8x8, 10 classes",
    model="cnn",
    parameters=9930,
    task="classification",
    metric_name="accuracy",
    higher_is_better=True,
    optimizer="AdamW",
    scheduler="OneCycleLR",
    batch_size=32,
    epochs=20,
    batches_per_epoch=45,
    validation_batches=12,
    device="cpu, 2 cores",
    threads=1,
    seed=0,
)

READING = DeviceReading(
    name="cpu, 2 cores",
    cores=2,
    cpu_percent=51.0,
    load=1.1,
    memory_used=420 * 2**20,
    memory_total=24 * 2**30,
)

CHANGES = (
    Change(NOON + 12, 3, 112, "paused before loss", "pause"),
    Change(NOON + 15, 3, 112, "went on", "resume"),
    Change(NOON + 22, 6, 231, "lr ÷2 → 0.0005", "lr"),
)


def losses(done: int, spike: int | None = None) -> list[float]:
    """A loss that falls with noise; the same for the same `done`."""
    noise = random.Random(7)
    values = [2.2 * math.exp(-i / 70) + 0.06 + 0.12 * noise.random() ** 3 for i in range(done)]
    if spike is not None and spike < done:
        values[spike] = 1.9
    return values


def curve(points: dict[float, float]) -> Curve:
    """A curve of single points."""
    fine = tuple(v if math.isfinite(v) else None for v in points.values())
    return Curve(tuple(points), fine, fine, fine, tuple(int(v is None) for v in fine))


def picture(done: int = 301, **changes: Any) -> Snapshot:
    """A Snapshot `done` batches into `INFO`'s run."""
    values = losses(done, spike=200)
    epochs = done // 45
    validated = {45.0 * (e + 1): 1.9 * math.exp(-e / 2) + 0.07 for e in range(epochs)}
    accuracies = {x: 0.985 - v / 3 for x, v in validated.items()}
    lrs = {float(i + 1): 1e-3 * (0.5 + 0.5 * math.cos(i / 900 * math.pi)) for i in range(done)}
    val_loss = list(validated.values())[-1] if validated else None
    accuracy = list(accuracies.values())[-1] if accuracies else None
    metrics = (("accuracy", accuracy), ("val_loss", val_loss)) if accuracy else ()
    last = EpochSummary(epochs, 45, epochs * 45, 0.0911, val_loss, metrics, 0.05, 912.0, 5e-4)
    snapshot = Snapshot(
        state=State.RUNNING,
        step=Step.BACKWARD,
        epoch=min(20, epochs + 1),
        batch=done % 45,
        batches_done=done,
        samples_done=done * 32,
        val_batch=0,
        elapsed=21.4,
        active=20.0,
        eta=41.0,
        batches_per_second=912.0,
        samples_per_second=29184.0,
        loss=values[-1] if values else None,
        epoch_loss=0.0911 if values else None,
        last=last if epochs else None,
        val_loss=val_loss,
        metrics=metrics,
        best_metric=Best(accuracy, epochs) if accuracy else None,
        best_val_loss=Best(val_loss, epochs) if val_loss else None,
        lr=5e-4,
        lr_factor=0.5,
        grad_norm=0.412,
        grad_norm_batch=done,
        phases=tuple(
            PhaseTime(step, share, share * 9.4e-4) for step, share in zip(Step, SHARES, strict=True)
        ),
        watching=0.011,
        speed=None,
        stopping=None,
        recent=tuple(values[-240:]),
        curves=(
            ("loss", curve({float(i + 1): v for i, v in enumerate(values)})),
            ("val_loss", curve(validated)),
            ("val_metric", curve(accuracies)),
            ("lr", curve(lrs)),
            ("grad_norm", curve({x: 0.4 + v * 100 for x, v in lrs.items()})),
            ("throughput", curve({x: 900 + x / 10 for x in lrs})),
        ),
        changes=tuple(c for c in CHANGES if c.batch <= done),
    )
    return replace(snapshot, **changes)


class FakeSource:
    """Hands out what a test put in, and keeps what it was asked for."""

    def __init__(self, snapshot: Snapshot | None = None, info: RunInfo = INFO) -> None:
        self.info = info
        self.snapshot = snapshot
        self.step: Step | None = Step.BACKWARD
        self.outcome: Outcome | None = None
        self.sent: list[Command] = []
        self.processes: list[tuple[RankNow, ...]] = [()]
        """What they do at one look after the other, and from the last one on."""

    def ranks(self) -> tuple[RankNow, ...]:
        return self.processes.pop(0) if len(self.processes) > 1 else self.processes[0]

    def now(self) -> tuple[Step, float] | None:
        return None if self.step is None else (self.step, 0.0)

    def latest(self, *, curves: bool = False) -> Snapshot | None:
        return self.snapshot

    def send(self, command: Command) -> None:
        self.sent.append(command)


class WatchApp(App[None]):
    """Nothing but the watch screen, drawn only when told to."""

    CSS_PATH = Path(fivestep.tui.__file__).parent / "app/app.tcss"
    COMMANDS = FivestepApp.COMMANDS

    def __init__(self, source: Any, *, theme: str = DARK.name, **options: Any) -> None:
        super().__init__()
        self.source, self.options, self.chosen = source, options, theme
        self.heard: list[str] = []

    def on_mount(self) -> None:
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self.chosen
        options = {"live": False, "ascii": False, "clock": lambda: 100.0, **self.options}
        options.setdefault("device", lambda: READING)
        options.setdefault("log", MessageLog(lambda: NOON))
        self.watch_screen = WatchScreen(self.source, **options)
        self.push_screen(self.watch_screen)

    def on_watch_screen_again(self) -> None:
        self.heard.append("again")

    def on_watch_screen_another(self) -> None:
        self.heard.append("another")

    def on_watch_screen_quit(self) -> None:
        self.heard.append("quit")


def seen(app: App[None]) -> str:
    """What is on the screen, as text."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def texts(rows: Iterable[Line]) -> list[str]:
    """What drawn rows say, without their styles."""
    return ["".join(part for part, _ in row) for row in rows]


def text(rows: Iterable[Line]) -> str:
    return "\n".join(texts(rows))


@asynccontextmanager
async def watching(
    source: FakeSource, size: tuple[int, int] = (120, 36), **options: Any
) -> AsyncIterator[tuple[WatchApp, Pilot[None]]]:
    """The watch screen of this source, and its pilot."""
    app = WatchApp(source, **options)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield app, pilot


class Printed(NamedTuple):
    """What a command printed on stdout and on stderr."""

    out: str
    err: str


class Cli:
    """The command as somebody types it, in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> Printed:
        """What it prints; it has to end with this code."""
        found = app.run(list(arguments))
        printed = Printed(*self._capsys.readouterr())
        assert found == code, printed
        return printed

    def refused(self, *arguments: str) -> str:
        """The one line on stderr of a command that ends with 2 and prints nothing else."""
        out, err = self(*arguments, code=2)
        assert (out, err[:10], err.count("\n")) == ("", "fivestep: ", 1)
        return err.removeprefix("fivestep: ").rstrip("\n")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


@pytest.fixture
def same_everywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times of day in UTC; colours whatever the environment says."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
