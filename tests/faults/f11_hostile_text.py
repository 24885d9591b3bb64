"""F11: hostile text wherever a run has text, on a real terminal, in lines and on the screen.

Names of data, models, classes, metrics and layers, what a run prints, warns of and fails with,
names of files and of runs, arguments, and what somebody wrote into the files of a run. Lost is
each command that crashes, or lets a control character or a sequence of ours through.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import sklearn.datasets  # noqa: F401 - imported once, for every child
from faults.children import ended, forked
from faults.result import Result
from terminal import Terminal

from fivestep.tui.cli import app as cli
from fivestep.tui.cli import run_commands as cli_runs  # noqa: F401
from fivestep.tui.cli import run_tables as listing_runs  # noqa: F401
from fivestep.tui.headless import (
    runner,  # noqa: F401
    text_reporter,  # noqa: F401
)
from fivestep.tui.setup import resume as resuming  # noqa: F401

MARK: Final = "7731"
"""In every sequence of ours, and in nothing that fivestep sends."""
PIECES: Final = (
    *(f"\x1b]0;{MARK}\x07", f"\x1b]52;c;{MARK}\x07", f"\x1b]8;;http://{MARK}\x1b\\link"),
    *(f"\x1b[{MARK};{MARK}H", f"\x1b[?{MARK}h", f"\x9b{MARK}m", f"\x1bP{MARK}\x1b\\"),
    *(f"\x9d{MARK}\x9c", f"\x1b_{MARK}\x1b\\", f"\x1b^{MARK}\x1b\\", f"\x90{MARK}\x9c"),
    *("\x1bc", "\x07", "\x08\x08", "\x7f", "\x00", "\x0e", "\x85", "\x1b", "\r", "\n", "\t"),
    *("\u2028", "\u202e", "\u2066", "\ufeff", "[red]", "[/]", "[/red", "[link=file:///]"),
    *("[@click=app.quit]q[/]", "[[", "\\[", ":warning:", "{}", "{0}", "%s", "%(x)s", "\\x1b[31m"),
    *("a", "Zürich", "日本語", "👩\u200d🚀", "e\u0301", "\ud800"),
)
OURS: Final = re.compile(
    rb"\x1b(?:\[\??|\][0-9;a-z:/]*|[P_^])" + MARK.encode() + rb"|\x1bc|"
    rb"\xc2[\x80-\x9f]|[\x00\x07\x0e\x7f]"
)
"""What must not reach a terminal: any sequence of ours, and control characters of every kind."""
POINTER: Final = b"\x1b]22;default\x07"
"""The screen's own, for the shape of the pointer."""
ALERT: Final = re.compile(
    rb"\x07\x1b\]9;fivestep: ([^\x00-\x1f\x7f]*)\x07"
    rb"(?:\x1b\]777;notify;fivestep;([^\x00-\x1f\x7f;]*)\x07)?"
)
"""A bell and notifications, whose texts are looked at like all else."""
LINES: Final = re.compile(rb"\x1b(?!\[K)")
"""What lines for people do not need: of all sequences, they use one."""

OWN = """
import logging, os, sys, warnings
import torch
from torch import nn
from fivestep.core.training.data import TensorBatches
from fivestep.core.protocol.steps import Task
from fivestep.core.training.training import About, Training

TEXTS = {texts}


class Fails(nn.Module):
    def forward(self, x):
        self.seen = getattr(self, "seen", 0) + 1
        if self.seen > {last}:
            raise type(TEXTS[0].encode("ascii", "ignore").decode().replace(chr(0), "") or "E",
                       (RuntimeError,), {{}})(TEXTS[1])
        return x


def training():
    if "SHOWN" in os.environ:  # in lines a person's own prints are that person's own
        print(TEXTS[2].encode("utf-8", "replace").decode())
        print(TEXTS[3].encode("utf-8", "replace").decode(), file=sys.stderr)
        warnings.warn(TEXTS[4])
        logging.getLogger(TEXTS[5]).error(TEXTS[6].replace("%", ""))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
    layer = TEXTS[7].replace(".", "") or "x"
    if not hasattr(model, layer):
        model.add_module(layer, Fails())
    x, y = torch.randn(60, 4), torch.arange(60) % 3
    return Training(
        model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1),
        TensorBatches(x, y, 6, torch.Generator().manual_seed(1)), TensorBatches(x, y, 30),
        epochs=2, task=Task("classification"), threads=1,
        metrics={{TEXTS[8]: lambda outputs, labels: outputs.mean()}},
        about=About(TEXTS[9], TEXTS[10], TEXTS[11], tuple(TEXTS[12:15])),
    )
"""


class Hostile:
    """One trial's texts, folder and commands."""

    def __init__(self, folder: Path, draw: random.Random) -> None:
        self.draw = draw
        self.runs = folder / "runs"
        self.home = folder / (self.name() or "x")
        self.home.mkdir()
        self.file = self.home / (self.name() + ".py")
        texts = [self.text() for _ in range(15)]
        last = draw.choice((5, 99))
        self.file.write_text(OWN.format(texts=ascii(texts), last=last), encoding="utf-8")
        self.wrong: list[str] = []

    def text(self) -> str:
        return "".join(self.draw.choices(PIECES, k=self.draw.randint(1, 5)))

    def name(self) -> str:
        """Of a file: without what no file can be called."""
        found = self.text().replace("/", "").replace("\0", "").replace("\ud800", "")
        return found.encode()[:80].decode(errors="ignore")

    def argument(self) -> str:
        """For a command line: without what no process can be given."""
        return self.text().replace("\0", "").replace("\ud800", "") or "x"

    def said(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> None:
        """Run a command in lines on a terminal, and look at all that it sends."""
        self.look(arguments, *on_terminal([*arguments, "--runs-dir", str(self.runs)]), codes)

    def look(
        self, arguments: tuple[str, ...], code: int, sent: bytes, codes: tuple[int, ...]
    ) -> None:
        told, sent = ascii(" ".join(arguments))[:80], ALERT.sub(rb"\1\2", sent)
        if code not in codes:
            self.wrong.append(f"{told} ended with {code}: {sent[-200:].decode(errors='replace')!a}")
        for pattern in (OURS, LINES):
            if found := pattern.search(sent):
                around = sent[max(0, found.start() - 20) : found.end() + 20]
                self.wrong.append(f"{told} let {found[0]!a} through: {around!r}")
                break

    def lines(self) -> None:
        """Everything that says something in lines."""
        own, anything = str(self.file), (0, 1, 2)
        self.said("train", own, "--no-ui", "--name", "first", codes=(0, 1))
        self.said("resume", "first", codes=(2,))
        self.said("resume", "first", own, "--no-ui", codes=(0, 1))
        self.said("runs", "--no-ui")
        self.said("runs", "show", "first")
        self.spoil()
        self.said("runs", "--no-ui", codes=anything)
        self.said("compare", "first", "first", "--no-ui", codes=anything)
        self.said("runs", "show", "first", codes=anything)
        self.said("export", "first", "--csv", codes=anything)
        self.said("resume", "first", own, "--no-ui", codes=anything)
        self.said("train", self.argument(), "--no-ui", codes=(2,))
        self.said("train", "line-linear", "--no-ui", "--name", self.argument(), codes=anything)
        self.said(
            "train", "line-linear", "--set", f"{self.argument()}={self.argument()}", codes=(2,)
        )
        self.said("resume", self.argument(), codes=(2,))
        self.said("runs", self.argument(), codes=anything)
        self.said("runs", "show", self.argument(), codes=anything)

    def spoil(self) -> None:
        """Write into every text of every file of the run."""
        run = self.runs / "first"
        for file in (run / "run.json", run / "outcome.json"):
            if file.exists():
                file.write_text(json.dumps(self.spoilt(json.loads(file.read_text()))))
        (run / self.name()).touch()

    def spoilt(self, value: object) -> object:
        if isinstance(value, dict):
            keep = ("kind", "state", "format")
            return {key: one if key in keep else self.spoilt(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.spoilt(one) for one in value]
        return self.text() if isinstance(value, str) or self.draw.random() < 0.05 else value

    def screen(self) -> None:
        """The same run on the screen, to its end."""
        arguments = ("train", str(self.file), "--runs-dir", str(self.runs))
        with Terminal(*arguments, columns=150, rows=45, SHOWN="1") as terminal:
            terminal.keep = True
            try:
                terminal.until(lambda text: "FINISHED" in text or "FAILED" in text)
                if "FAILED" in terminal.text:
                    terminal.type("T")
                    terminal.until("Traceback (most")
                    terminal.type("\x1b")
                    terminal.until(lambda text: "Traceback (most" not in text)
                terminal.type("q")
                code = terminal.ended(20)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                self.wrong.append(f"the screen: {ascii(str(error))[:300]}")
                return
            sent = terminal.sent.replace(POINTER, b"")
        if code not in (0, 1):
            self.wrong.append(f"the screen ended with {code}")
        if found := OURS.search(sent):
            around = sent[max(0, found.start() - 30) : found.end() + 30]
            self.wrong.append(f"the screen let {found[0]!a} through: {around!r}")


def on_terminal(arguments: list[str]) -> tuple[int, bytes]:
    """Run the command on a terminal of its own: exit code, and all that it sends."""
    master, slave = os.openpty()
    child = forked(lambda: cli.run(arguments), output=slave)
    os.close(slave)
    sent = b""
    while True:
        try:
            piece = os.read(master, 1 << 16)
        except OSError:  # the other end is closed
            break
        sent += piece
        if not piece:
            break
    os.close(master)
    return ended(child), sent


def campaign(trials: int, seed: int) -> Result:
    """So many sets of texts, each through all commands; every tenth is shown on the screen, too."""
    draw = random.Random(seed)
    wrong: list[str] = []
    lost = shown = 0
    for number in range(trials):
        with tempfile.TemporaryDirectory() as made:
            trial = Hostile(Path(made), draw)
            trial.lines()
            if number % 10 == 9:
                shown += 1
                trial.screen()
        lost += bool(trial.wrong)
        wrong += [f"{number}: {one}" for one in trial.wrong]
    notes = (f"16 commands each, {shown} on the screen", *wrong[:20])
    return Result("F11", "hostile text on a terminal", trials, lost, notes)
