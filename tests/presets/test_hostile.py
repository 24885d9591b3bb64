"""Hostile recipes and tables, by the thousand, under an audit hook in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parents[1] / "hostile.py"


def campaign(count: int, folder: Path, seed: int = 0) -> None:
    """Each is taken, or refused in one line; none imports, executes, connects or writes."""
    command = [sys.executable, str(CAMPAIGN), str(count), str(folder), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["wrong"]
    assert not found["events"]
    assert found["taken"] + found["refused"] == count
    assert found["taken"] > count / 20, "some are harmless"
    assert found["refused"] > count / 2, "most are not"


def test_two_thousand_hostile_files(tmp_path: Path) -> None:
    campaign(2000, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_hostile_files(tmp_path: Path) -> None:
    campaign(100_000, tmp_path, seed=1)
