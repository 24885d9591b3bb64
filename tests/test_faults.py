"""The campaigns of `make faults` that share one process, with few trials each."""

from __future__ import annotations

import json
from pathlib import Path

from forked import python

CAMPAIGNS = Path(__file__).parent / "faults"
ONLY = "F2,F3,F6,F7,F11,F15"


def test_nothing_is_lost_in_a_few_trials_of_every_fault(tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    done = python(str(CAMPAIGNS), "--quick", "--only", ONLY, "--json", str(table))
    found = json.loads(table.read_text())
    assert {result["fault"] for result in found} == set(ONLY.split(","))
    assert all(result["trials"] for result in found)
    assert "F2   resume at any batch" in done.stdout


def test_the_table_names_every_campaign_and_says_what_was_lost(tmp_path: Path) -> None:
    text = (CAMPAIGNS / "__main__.py").read_text(encoding="utf-8")
    there = {file.stem for file in CAMPAIGNS.glob("f[0-9][0-9]_*.py")}
    assert all(text.count(f'"{name}"') == 2 for name in there), "in FULL and in QUICK"
