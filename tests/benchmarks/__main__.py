"""Every benchmark in one table, and as JSON: `make bench`.

    python tests/benchmarks [--pairs N] [--only PART] [--json FILE]

Ratios are of pairs measured in turn within one run: their median, and their spread. A quiet
machine is needed; what else runs on it shows in the spread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import torch
from rows import HEAD, as_json

PARTS = ("loop", "costs", "startup", "screen", "amp_compile", "watch", "attached", "ranks")


def main() -> None:
    """Measure, print row by row, write JSON where it is asked for."""
    parser = argparse.ArgumentParser(description="How fast fivestep is, as ratios of one run.")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    print(f"{os.cpu_count()} cores, python {platform.python_version()}, torch {torch.__version__}")
    print(HEAD, flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FIVESTEP_RUNS"] = folder
        for part in [chosen.only] if chosen.only else PARTS:
            for row in import_module(part).measure(chosen.pairs):
                rows.append(row)
                print(row, flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(as_json(rows), indent=1) + "\n")


if __name__ == "__main__":
    main()
