"""F10: hostile recipes and tables, under an audit hook in a process of their own.

Lost is each that is neither taken nor refused in one clean line, and each event that no recipe may
cause: an import, code that is executed, a process, a connection, a file that is written.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from faults.result import Result

SCRIPT = Path(__file__).parents[1] / "hostile.py"


def campaign(trials: int, seed: int) -> Result:
    """Try so many files, half of them recipes and half of them tables."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(SCRIPT), str(trials), folder, str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    wrong = [*found["wrong"], *(f"event {event}" for event in found["events"])]
    missing = trials - found["taken"] - found["refused"] - len(found["wrong"])
    if not found["taken"] or not found["refused"]:
        wrong.append("all were taken, or all refused: nothing was tried")
    notes = (f"{found['taken']:,} were harmless, {found['refused']:,} refused", *wrong[:20])
    return Result("F10", "hostile recipes and tables", trials, len(wrong) + missing, notes)
