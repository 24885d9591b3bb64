"""Hostile recipes and tables, by the thousand, under an audit hook in a process of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from doing import python

CAMPAIGN = Path(__file__).parents[1] / "hostile.py"


def campaign(count: int, folder: Path, seed: int = 0) -> None:
    """Each is taken, or refused in one line; none imports, executes, connects or writes."""
    done = python(str(CAMPAIGN), str(count), str(folder), str(seed))
    found = json.loads(done.stdout)
    assert not found["wrong"]
    assert not found["events"]
    assert found["taken"] + found["refused"] == count
    assert found["taken"] > count / 30, "some are harmless"
    assert found["refused"] > count / 2, "most are not"


def test_hostile_files_by_the_hundred(tmp_path: Path) -> None:
    campaign(400, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_hostile_files(tmp_path: Path) -> None:
    campaign(100_000, tmp_path, seed=1)
