"""What `r` on the screen leaves behind: resident memory over 100 runs, one after the other.

`python tests/benchmarks/again.py [RUNS]` prints it every ten runs. Runs are garbage in circles, so
it grows until the collector has gone through all there is: by 1 MiB a run up to some 65 runs, and
is flat from there.
"""

from __future__ import annotations

import asyncio
import sys

import psutil

from fivestep.presets.recipe import load
from fivestep.tui.app.app import FivestepApp
from fivestep.tui.setup.builder import RunBuilder
from fivestep.tui.setup.plan import RecipePlan
from fivestep.tui.terminal.imports import claim_process, under_way
from fivestep.tui.watch.watch import WatchScreen


def ended(app: FivestepApp) -> bool:
    """Whether the newest run has come to its end, and the screen shows that."""
    screen = app.screen
    return (
        isinstance(screen, WatchScreen)
        and screen.source is app.launch
        and (screen.has_class("-ended"))
    )


async def again(runs: int) -> None:
    """Train digits-mlp for an epoch, as often as said, and print what memory the process has."""
    recipe = load("digits-mlp", {"epochs": 1, "device": "cpu"})
    app = FivestepApp(RunBuilder.nowhere(RecipePlan(recipe)))
    async with app.run_test(size=(120, 36)) as pilot:
        for number in range(1, runs + 1):
            while not ended(app):
                await pilot.pause(0.01)
            launch = app.launch
            if number == 1:
                under_way()
            if number % 10 == 0:
                mib = psutil.Process().memory_info().rss / 2**20
                sys.stdout.write(f"{number:4} runs: {mib:.1f} MiB\n")
                sys.stdout.flush()
            await pilot.press("r")
            while app.launch is launch:
                await pilot.pause(0.01)


if __name__ == "__main__":
    claim_process()
    asyncio.run(again(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
