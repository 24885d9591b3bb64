"""Going back to one batch of an earlier run, as a person would; the run stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

from fivestep.core.storage.log_file import read_log

from .conftest import Shell, damage, files, run
from .test_resume_files import OWN

SAME = "compared with the log: the same, bit for bit"


def test_a_batch_comes_again_bit_for_bit_and_the_run_stays_as_it_is(
    shell: Shell, stopped: Path
) -> None:
    shell.resume("stopped")
    before = files(stopped)
    told = shell("replay", "stopped", "--at", "7", "--no-ui")
    assert "going back to batch 7 of stopped, which stays as it is" in told
    assert "resumed at epoch 2, after batch 2" in told
    assert f"batch 7, before its update; 2 losses up to here {SAME}" in told
    assert "held at epoch 3, batch 1, before update" in told
    told = shell("replay", "stopped", "--at", "3", "--json")
    records = [json.loads(line) for line in told.splitlines()]
    last = [one for one in records if one["type"] == "batch"][-1]
    logged = [one for one in read_log(stopped / "metrics.jsonl") if one["type"] == "batch"]
    assert last["loss"] == logged[2]["loss"]
    assert any(SAME in one.get("text", "") for one in records), "from the beginning"
    damage(stopped / "checkpoints" / "batch-000000005.pt")
    before["checkpoints/batch-000000005.pt"] = b""
    told = shell("replay", "stopped", "--at", "7", "--no-ui")
    assert "passed over a checkpoint: batch-000000005.pt: damaged" in told
    assert f"7 losses up to here {SAME}" in told
    assert files(stopped) | {"checkpoints/batch-000000005.pt": b""} == before


def test_what_is_no_batch_of_the_run_is_refused_in_one_line(shell: Shell, stopped: Path) -> None:
    for words, told in {
        ("stopped", "--at", "6"): "fivestep: stopped has batches 1 to 5, no batch 6\n",
        ("stopped", "--at", "0"): "fivestep: --at: expected a number of at least 1, not 0; see "
        "fivestep replay --help\n",
        ("nothing", "--at", "1"): "fivestep: there is no run nothing in",
    }.items():
        shell("replay", *words, "--no-ui", code=2)
        assert shell.err.startswith(told)
        assert shell.err.count("\n") == 1


def test_the_batch_at_which_a_run_failed_can_be_looked_at(shell: Shell) -> None:
    shell.train("bad", "--lr", "100", preset="line-linear", code=1)
    failed = json.loads((run("bad") / "outcome.json").read_text())["batches"] + 1
    told = shell("replay", "bad", "--at", str(failed), "--no-ui")
    assert (
        f"batch {failed}, before its update; the log has no loss of it; {failed - 1} loss" in told
    )
    assert "loss inf" in told


def test_a_file_of_ones_own_is_asked_for_and_has_to_be_the_same(
    shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN.replace('    os.chdir("/")\n', ""))
    shell("train", "own.py", "--name", "own", "--no-ui")
    shell("replay", "own", "--at", "5", "--no-ui", code=2)
    assert f"only if you name it: fivestep replay --at 5 own {file}" in shell.err
    assert SAME in shell("replay", "own", "own.py", "--at", "5", "--no-ui")
    file.write_text(file.read_text().replace("lr=0.01", "lr=0.02"))
    shell("replay", "own", "own.py", "--at", "5", "--no-ui", code=2)
    assert "is not the file that own came from" in shell.err
    file.write_text(file.read_text().replace("Dropout(0.3)", "Dropout(0.4)"))
    told = shell("replay", "own", "own.py", "--at", "5", "--no-ui", "--force")
    assert "not as the first time: batch 1 has loss" in told
