"""A run that is served in this process, for tests that attach to it as if from another one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from fivestep.core.protocol import commands
from fivestep.core.protocol.snapshot import RunLocation, Snapshot
from fivestep.core.protocol.steps import State
from fivestep.core.serving.client import RemoteRun
from fivestep.core.session.session import Session
from fivestep.core.training.training import Training
from fivestep.presets.build import build
from fivestep.presets.recipe import load

HERE = RunLocation("runs/one", "fivestep resume one")


@contextmanager
def runtime() -> Iterator[Path]:
    """A folder for sockets whose path is short, as they need it."""
    with (
        tempfile.TemporaryDirectory(prefix="run-") as folder,
        mock.patch.dict(os.environ, {"XDG_RUNTIME_DIR": folder}),
    ):
        yield Path(folder)


class Served:
    """A run in a thread of its own, paused before its first step, and where it is reached.

    Args:
        training: what is trained; a straight line by default.
        options: of the session.
    """

    def __init__(self, training: Training | None = None, **options: Any) -> None:
        training = training or build(load("line-linear", {"epochs": 3}))
        self.session = Session(training, **options)
        self.addresses: list[str] = []
        self.session.serve(self.addresses.append, HERE)
        self.clients: list[RemoteRun] = []
        self.session.send(commands.Pause())
        self.session.start()

    @property
    def address(self) -> str:
        return self.addresses[-1]

    def attach(self, *, watches: bool = True) -> RemoteRun:
        self.clients.append(RemoteRun(self.address, watches=watches))
        return self.clients[-1]

    def end(self) -> None:
        self.session.send(commands.Stop())
        assert self.session.join(100)
        for client in self.clients:
            client.close()


def until(remote: RemoteRun, state: State) -> Snapshot:
    """The next picture of the run in this state."""
    picture = remote.picture(None)
    while picture.state is not state:
        picture = remote.picture(picture)
    return picture
