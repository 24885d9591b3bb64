"""Every campaign of faults, as a table: `python tests/faults [--quick] [--only F2,F7] [--seed S]`.

Ends with 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Final

sys.path[0] = str(Path(__file__).resolve().parents[1])

from faults.result import Result  # noqa: E402 - it lies beside this folder, not in it

FULL: Final = {
    "f01_kill_while_saving": 3_000,
    "f02_resume_anywhere": 2_000,
    "f02_kill_and_resume": 300,
    "f03_disk_full": 300,
    "f04_signals": 210,
    "f05_lost_terminal": 200,
    "f06_worker_killed": 100,
    "f07_nonfinite": 2_000,
    "f08_damaged_log": 20_000,
    "f09_hostile_checkpoints": 10_000,
    "f10_hostile_recipes": 100_000,
    "f11_hostile_text": 300,
    "f12_hostile_names": 20_000,
    "f13_resize_storm": 1_000,
    "f14_long_run": 10_000_000,
    "f15_out_of_memory": 300,
    "f16_two_processes": 1_000,
    "f17_rank_killed": 50,
    "f18_rank_hangs": 30,
    "f19_commands_to_ranks": 1_000,
    "f20_dying_clients": 1_000,
    "f20_killed_clients": 1_000,
    "f21_hostile_clients": 100_000,
    "f22_invalid_keys": 1_000,
    "f23_moved_folder": 240,
    "f24_misfit_checkpoint": 1_000,
    "f25_replay_anywhere": 300,
}
"""Trials of each campaign; for F14 batches, for F13 window sizes, for F22 strings of bytes."""
QUICK: Final = {
    "f01_kill_while_saving": 30,
    "f02_resume_anywhere": 3,
    "f02_kill_and_resume": 1,
    "f03_disk_full": 3,
    "f04_signals": 2,
    "f05_lost_terminal": 2,
    "f06_worker_killed": 1,
    "f07_nonfinite": 20,
    "f08_damaged_log": 200,
    "f09_hostile_checkpoints": 200,
    "f10_hostile_recipes": 500,
    "f11_hostile_text": 1,
    "f12_hostile_names": 500,
    "f13_resize_storm": 100,
    "f14_long_run": 30_000,
    "f15_out_of_memory": 1,
    "f16_two_processes": 10,
    "f17_rank_killed": 1,
    "f18_rank_hangs": 1,
    "f19_commands_to_ranks": 60,
    "f20_dying_clients": 30,
    "f20_killed_clients": 10,
    "f21_hostile_clients": 2_000,
    "f22_invalid_keys": 40,
    "f23_moved_folder": 4,
    "f24_misfit_checkpoint": 40,
    "f25_replay_anywhere": 3,
}


def campaigns(only: Sequence[str]) -> list[str]:
    """The campaigns there are, by the numbers of their faults."""
    names = sorted(file.stem for file in Path(__file__).parent.glob("f[0-9][0-9]_*.py"))
    wanted = {f"f{int(re.sub('[^0-9]', '', word) or 0):02}" for word in only}
    return [name for name in names if not wanted or name[:3] in wanted]


def row(fault: str, what: str, trials: str, lost: str, took: str) -> str:
    return f"{fault:<5}{what:<34}{trials:>12}{lost:>7}{took:>9}"


def tell(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def run(name: str, trials: int, seed: int) -> tuple[Result, float]:
    """What a campaign finds, and its seconds. One that breaks has lost all it tried."""
    begun = time.perf_counter()
    try:
        result = import_module(f"faults.{name}").campaign(trials, seed)
    except Exception as error:
        text = str(error).strip().rsplit("\n", 1)[-1]
        notes = (f"the campaign broke: {type(error).__name__}: {text}",)
        result = Result(f"F{int(name[1:3])}", name[4:].replace("_", " "), trials, trials, notes)
    return result, time.perf_counter() - begun


def main() -> int:
    """Run what is asked for; 1 if something was lost."""
    parser = argparse.ArgumentParser(prog="python tests/faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few trials of each")
    parser.add_argument("--trials", type=int, metavar="N", help="so many of each")
    parser.add_argument("--only", default="", metavar="F2,F7", help="some faults")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="draws other trials")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the results as JSON, too")
    said = parser.parse_args()
    found = []
    tell(row("", "fault", "trials", "lost", "seconds"))
    for name in campaigns([word for word in said.only.split(",") if word]):
        trials = said.trials or (QUICK if said.quick else FULL).get(name, 100)
        result, took = run(name, trials, said.seed)
        found.append({**asdict(result), "campaign": name, "seconds": round(took, 1)})
        counts = (f"{result.trials:,}", f"{result.lost:,}", f"{took:,.1f}")
        tell(row(result.fault, result.what, *counts), *(f"     {note}" for note in result.notes))
        if said.json:
            said.json.write_text(json.dumps(found, indent=1))
    return int(any(result["lost"] for result in found))


if __name__ == "__main__":
    sys.exit(main())
