"""Going on with a run whose recipe was changed, or that is to go further."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Shell, edit, files, killed_at_the_start, rates, run


def test_a_changed_recipe_is_refused_with_the_difference(shell: Shell, stopped: Path) -> None:
    edit(stopped, "lr = 0.01", "lr = 0.02")
    before = files(stopped)
    assert "optimizer.lr 0.01 → 0.02; --force" in shell.refused("stopped")
    assert files(stopped) == before
    assert "recipe changed: optimizer.lr 0.01 → 0.02" in shell.resume("stopped", "--force", stop=7)
    assert "changed" not in shell.resume("stopped")
    twice = [2 * lr for lr in rates(run("whole"))]
    assert rates(stopped)[5:] == pytest.approx(twice[5:])


def test_other_batches_start_the_epoch_over(shell: Shell, stopped: Path) -> None:
    edit(stopped, "batch_size = 30", "batch_size = 45")
    told = shell.resume("stopped", "--force")
    assert "epoch 2 starts over from its first batch" in told
    assert "its batches are others now" in told


def test_other_batches_have_the_schedule_of_a_run_that_always_had_them(shell: Shell) -> None:
    cycle = ("--set", "scheduler.name=onecycle")
    shell.train("run", *cycle, stop=5)
    shell.train("other", *cycle, "--batch-size", "45")
    edit(run("run"), "batch_size = 30", "batch_size = 45")
    assert "finished after 4 epochs" in shell.resume("run", "--force")
    assert rates(run("run"))[5:] == rates(run("other"))[2:]


def test_a_checkpoint_that_does_not_fit_changes_nothing(shell: Shell, stopped: Path) -> None:
    shell.resume("stopped")
    edit(stopped, "widths = [16]", "widths = [20]")
    before = files(stopped)
    assert "does not fit this run" in shell.refused("stopped", "--force")
    assert files(stopped) == before


def test_a_broken_recipe_is_told(shell: Shell, stopped: Path) -> None:
    (stopped / "recipe.toml").write_text("epochs = ")
    assert "recipe.toml" in shell.refused("stopped")
    (stopped / "recipe.toml").unlink()
    told = "recipe.toml is missing, which says what it trains"
    assert told in shell.refused("stopped")
    assert told in shell("eval", "--run", "stopped", code=2)


# Further than it was to go.

SCHEDULES = {
    "none": "",
    "step": "",
    "plateau": "",
    "cosine": "cosine now reaches its end in epoch 6",
    "onecycle": "onecycle now reaches its end in epoch 6",
    "warmup-cosine": "warmup-cosine now reaches its end in epoch 6",
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_trained_further_the_lr_is_that_of_a_run_of_that_length(shell: Shell, name: str) -> None:
    options = ["--set", f"scheduler.name={name}"]
    if name == "step":
        options += ["--set", "scheduler.step_size=2"]
    if name == "plateau":
        options += ["--set", "scheduler.patience=0", "--set", "scheduler.threshold=0.9"]
    shell.train("short", *options)
    shell.train("long", *options, "--epochs", "6")
    told = shell.resume("short", "--epochs", "6")
    assert "epochs 4 → 6" in told
    assert SCHEDULES[name] in told
    assert "finished after 6 epochs" in told
    assert rates(run("short"))[12:] == rates(run("long"))[12:]
    assert "epochs = 6" in (run("short") / "recipe.toml").read_text()


@pytest.mark.parametrize("name", ["cosine", "onecycle"])
def test_killed_before_its_first_checkpoint_a_longer_run_still_has_its_schedule(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    options = ["--set", f"scheduler.name={name}"]
    shell.train("short", *options)
    shell.train("long", *options, "--epochs", "6")
    killed_at_the_start(shell, monkeypatch, "short", "--epochs", "6")
    shell.resume("short")
    assert rates(run("short"))[12:] == rates(run("long"))[12:]
