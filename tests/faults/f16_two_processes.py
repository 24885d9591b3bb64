"""F16: two processes want one run; and a killed one must not keep it from the next."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from faults.result import Result

from fivestep.core.storage.run_directory import RunDirectory
from fivestep.core.storage.run_index import summary

CONTENDER = """
import os, sys
from pathlib import Path
from fivestep.core.storage.run_directory import RunDirectory
from fivestep.core.storage.run_directory import RunError
folder, name = Path(sys.argv[1]), sys.argv[2]
run = None
print("ready", flush=True)
for line in sys.stdin:
    if line == "open\\n":
        try:
            run = RunDirectory.open(folder, name)
            print("got", flush=True)
        except RunError as error:
            print("refused", error, flush=True)
    elif line == "fork\\n":  # a data worker, which outlives its parent
        if os.fork() == 0:
            print("forked", flush=True)
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.close(1), os.close(2)
            os.read(int(sys.argv[3]), 1)
            os._exit(0)
    else:
        if run is not None:
            run.close()
        print("closed", flush=True)
"""


class Contender:
    """A process that wants the run."""

    def __init__(self, folder: Path, name: str, keep: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CONTENDER, str(folder), name, str(keep)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(keep,),
        )
        assert self.answer() == "ready"

    def tell(self, word: str) -> None:
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        return self.process.stdout.readline().strip()

    def ask(self, word: str) -> str:
        self.tell(word)
        return self.answer()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()


def campaign(trials: int, seed: int) -> Result:
    """Let two processes ask at the same moment; now and then the winner is killed.

    At most 20 of the trials kill: each takes a new process.
    """
    dice = random.Random(seed)
    kills = set(dice.sample(range(trials), min(trials, max(1, min(20, trials // 10)))))
    lost: list[str] = []
    waiting, wakes = os.pipe()  # orphans wait for the other end to be closed
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        run = RunDirectory.create(runs, "contested", "preset")
        run.close()
        pair = [Contender(runs, "contested", waiting) for _ in range(2)]
        for trial in range(trials):
            for contender in pair:
                contender.tell("open")
            answers = [contender.answer() for contender in pair]
            won = [answer == "got" for answer in answers].index(True) if "got" in answers else 0
            winner, loser = pair[won], pair[1 - won]
            told = f"refused run contested is being trained by process {winner.process.pid}"
            seen = [answers[won], answers[1 - won], summary(run.path).state]
            right = ["got", told, "running"]
            if trial in kills:
                seen.append(winner.ask("fork"))
                winner.end()
                seen += [summary(run.path).state, loser.ask("open")]
                right += ["forked", "crashed", "got"]
                pair[won] = Contender(runs, "contested", waiting)
                winner = loser
            seen.append(winner.ask("close"))
            if seen != [*right, "closed"]:
                lost.append(f"trial {trial}, process {winner.process.pid}: {seen}")
        for contender in pair:
            contender.end()
    os.close(wakes)
    os.close(waiting)
    return Result("F16", "two processes, one run", trials, len(lost), tuple(lost[:3]))
