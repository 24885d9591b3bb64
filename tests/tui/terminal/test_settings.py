"""A terminal that a screen was drawn on, and whether it was left as it was."""

from __future__ import annotations

import os
import termios
import tty
from collections.abc import Iterator

import pytest

from fivestep.tui.terminal.terminal import Settings


@pytest.fixture
def stdin() -> Iterator[None]:
    """A terminal in the place of stdin."""
    kept, (master, slave) = os.dup(0), os.openpty()
    os.dup2(slave, 0)
    yield
    os.dup2(kept, 0)
    for fd in (kept, master, slave):
        os.close(fd)


@pytest.mark.usefixtures("stdin")
def test_only_what_was_left_changed_is_to_be_restored() -> None:
    settings = Settings()
    before = termios.tcgetattr(0)
    assert settings.is_restored
    tty.setraw(0)
    assert not settings.is_restored
    termios.tcsetattr(0, termios.TCSANOW, before)
    assert settings.is_restored
