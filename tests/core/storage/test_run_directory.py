"""A run's folder: made once, written whole, held by one process, and never somewhere else."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from doing import failing  # tests is on the path
from faults import f12_hostile_names as f12
from faults import f16_two_processes as f16
from hypothesis import given, settings
from hypothesis import strategies as st

from fivestep.core.protocol import record_fields
from fivestep.core.storage import run_directory, run_lock
from fivestep.core.storage.run_directory import (
    LONGEST,
    RunDirectory,
    RunError,
    checked_name,
    made_name,
)
from fivestep.core.storage.run_lock import holder

MOMENT = time.strptime("2026-11-23 01:47:42", "%Y-%m-%d %H:%M:%S")


def make(folder: Path, name: str | None = "mine") -> RunDirectory:
    return RunDirectory.create(folder, name, "digits-cnn")


def test_a_made_name_tells_when_and_what() -> None:
    assert made_name("digits-cnn", MOMENT) == "2026-11-23-014742-digits-cnn"
    assert made_name("/home/me/my train.py", MOMENT) == "2026-11-23-014742-home-me-my-train.py"
    assert made_name("../..", MOMENT) == "2026-11-23-014742-run"


@given(st.text(max_size=120))
@settings(max_examples=60, deadline=None)
def test_a_made_name_is_always_allowed(preset: str) -> None:
    name = made_name(preset, MOMENT)
    assert checked_name(name) == name
    assert checked_name(f"{name}-9999")


@given(st.text(max_size=90) | st.from_regex(r"[a-z./\x00-\x1f]{1,9}", fullmatch=True))
@settings(max_examples=150, deadline=None)
def test_a_name_is_plain_or_refused_in_one_clean_line(text: str) -> None:
    refused = None
    try:
        assert checked_name(text) == text
    except RunError as error:
        refused = str(error)
    if refused is None:
        assert text.isascii()
        assert 1 <= len(text) <= LONGEST
        assert Path("runs", text).resolve().parent == Path("runs").resolve()
    else:
        assert refused.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "../x",
        "/etc/x",
        "a/b",
        "a\0b",
        "a\nb",
        "a\n",
        "x" * 300,
        ".hidden",
        "-rf",
        "a.",
        "é",
    ],
    ids=str.__repr__,
)
def test_what_may_not_be_a_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(RunError) as error:
        make(tmp_path / "runs", text)
    assert str(error.value).isprintable()
    assert not (tmp_path / "runs").exists()


def test_hostile_names_stay_inside_the_runs_folder() -> None:
    assert f12.campaign(60, seed=1).lost == 0


def test_a_run_is_made_once(tmp_path: Path) -> None:
    runs = tmp_path / "new" / "runs"
    with make(runs) as run:
        assert run.path == runs / "mine"
        assert run.running
        with pytest.raises(RunError, match="a run of that name; fivestep resume mine trains it on"):
            make(runs)


def test_made_names_never_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "localtime", lambda: MOMENT)
    names = []
    for _ in range(3):
        with make(tmp_path, None) as run:
            names.append(run.name)
    first = "2026-11-23-014742-digits-cnn"
    assert names == [first, f"{first}-2", f"{first}-3"]


def test_a_folder_that_takes_no_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"takes no run: (Not a directory|File exists)"):
        make(tmp_path / "file")


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    with make(tmp_path) as run:
        assert run.read_meta() == ({}, "")
        run.write_recipe('[model]\nname = "mlp"\n')
        run.write_meta({"format": 1, "loss": float("nan"), "cwd": Path("x"), "seeds": (1, 2)})
        run.write_outcome({"state": "finished"})
        assert run.read_outcome() == ({"state": "finished"}, "")
        run.clear_outcome()
        run.clear_outcome()
    again = RunDirectory.look(tmp_path, "mine")
    assert again.read_recipe() == '[model]\nname = "mlp"\n'
    assert again.read_meta()[0] == {"format": 1, "loss": None, "cwd": "x", "seeds": [1, 2]}
    assert again.read_outcome() == ({}, "")
    assert sorted(path.name for path in run.path.iterdir()) == ["lock", "recipe.toml", "run.json"]


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make(tmp_path) as run:
        run.write_meta({"seed": 1})
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(errno.ENOSPC))
            with pytest.raises(OSError, match="No space"):
                run.write_meta({"seed": 2})
        assert run.read_meta()[0] == {"seed": 1}
        assert len(list(run.path.iterdir())) == 2


def test_what_a_killed_writer_left_goes_at_the_next_start(tmp_path: Path) -> None:
    make(tmp_path).close()
    stray = tmp_path / "mine" / ".run.json.999999999-0123abcd.tmp"
    stray.write_text("{")
    RunDirectory.open(tmp_path, "mine").close()
    assert not stray.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b'{"seed": NaN}',
        b'{"a":' * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "' + b"x" * (1 << 20) + b'"}',
        b"\xff\xfe",
    ],
    ids=["empty", "cut", "list", "nan", "deep", "digits", "large", "no-utf-8"],
)
def test_damaged_json_reads_as_nothing_and_is_never_written_over(
    tmp_path: Path, content: bytes
) -> None:
    with make(tmp_path) as run:
        run.outcome.write_bytes(content)
        for name in ("run.json.unreadable", "run.json.unreadable-2"):
            run.meta.write_bytes(content)
            fields, damage = run.read_meta()
            assert fields == {}
            assert damage.startswith(("run.json is damaged", "run.json can't be read: larger"))
            assert run.damage()[0] == f"{damage}; it stays as {name}"
            run.write_meta({"seed": 2})
            assert (run.path / name).read_bytes() == content
        run.clear_outcome()
        assert (run.path / "outcome.json.unreadable").read_bytes() == content
        assert run.damage() == []


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ('"resumes": 5', '"resumes" is 5'),
        ('"resumes": [5]', '"resumes" is [5]'),
        ('"epochs": true', '"epochs" is true'),
        ('"started": "now"', '"started" is "now"'),
        ('"file": {"path": 7}', '"file" is {"path": 7}'),
        ('"versions": "2.13"', '"versions" is "2.13"'),
    ],
)
def test_a_field_of_another_type_is_told_and_left_out(
    tmp_path: Path, field: str, told: str
) -> None:
    with make(tmp_path) as run:
        run.meta.write_text(f'{{"preset": "mine", "seed": null, {field}}}')
        assert run.read_meta() == (
            {"preset": "mine", "seed": None},
            f"run.json is damaged: {told}",
        )


def test_every_field_has_its_type(tmp_path: Path) -> None:
    assert record_fields.RUN_KINDS.keys() == record_fields.RUN.keys()
    assert record_fields.OUTCOME_KINDS.keys() == record_fields.OUTCOME.keys()


def test_a_run_of_a_newer_fivestep_is_refused(tmp_path: Path) -> None:
    with make(tmp_path) as run:
        run.write_meta({"format": 2})
    for find in (RunDirectory.open, RunDirectory.look):
        with pytest.raises(RunError, match=r"mine was kept by a newer fivestep \(format 2, this"):
            find(tmp_path, "mine")


def test_texts_of_hostile_json_come_out_clean(tmp_path: Path) -> None:
    with make(tmp_path) as run:
        texts = ["\x1b]0;x\x07", {"a": "b\u202ec\u009bd\ud800"}]
        hostile = {"pre\x1blude": texts, "pre\x1bset": texts, "seed": 1e999}
        run.meta.write_text(json.dumps(hostile).replace("Infinity", "1e999"))
        fields, damage = run.read_meta()
        assert fields == {"prelude": ["]0;x", {"a": "bcd"}], "seed": None}
        assert damage == 'run.json is damaged: "preset" is ["]0;x", {"a": "bcd"}]'


def test_links_and_pipes_in_a_run_are_not_read(tmp_path: Path) -> None:
    with make(tmp_path) as run:
        (tmp_path / "secret").write_text('{"seed": 1}')
        run.meta.symlink_to(tmp_path / "secret")
        os.mkfifo(run.outcome)
        os.mkfifo(run.recipe)
        assert run.read_meta() == ({}, "run.json can't be read: Too many levels of symbolic links")
        assert run.read_outcome() == ({}, "outcome.json can't be read: not a regular file")
        with pytest.raises(RunError, match="can't be read"):
            run.read_recipe()


def test_a_link_in_the_runs_folder_is_not_followed(tmp_path: Path) -> None:
    outside = make(tmp_path / "elsewhere", "outside")
    outside.close()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "inside").symlink_to(outside.path)
    for find in (RunDirectory.open, RunDirectory.look):
        with pytest.raises(RunError, match="inside is a link"):
            find(tmp_path / "runs", "inside")
    with pytest.raises(RunError, match="there is a run of that name"):
        make(tmp_path / "runs", "inside")


def test_checkpoints_behind_a_link_are_refused(tmp_path: Path) -> None:
    make(tmp_path).close()
    (tmp_path / "mine" / "checkpoints").symlink_to(tmp_path)
    with pytest.raises(RunError, match="behind a link"):
        RunDirectory.open(tmp_path, "mine")


def test_a_run_that_was_moved_opens_by_its_path(tmp_path: Path) -> None:
    make(tmp_path / "runs").close()
    (tmp_path / "runs" / "mine").rename(tmp_path / "moved here")
    with RunDirectory.open(tmp_path / "runs", f"{tmp_path}/moved here/") as run:
        assert run.name == "moved here"
        assert run.path == tmp_path / "moved here"


def test_what_is_no_run_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").touch()
    for name in ("notes", "file", "nothing", f"{tmp_path}/notes", f"{tmp_path}/nothing", "x/\0"):
        with pytest.raises(RunError) as error:
            RunDirectory.open(tmp_path, name)
        assert str(error.value).isprintable()
    assert not list((tmp_path / "notes").iterdir())


def test_only_one_of_two_processes_gets_a_run() -> None:
    result = f16.campaign(6, seed=1)
    assert result.lost == 0, result.notes


def test_a_closed_run_can_be_opened_again(tmp_path: Path) -> None:
    run = make(tmp_path)
    with pytest.raises(RunError, match=f"run mine is being trained by process {os.getpid()}"):
        RunDirectory.open(tmp_path, "mine")
    run.close()
    run.close()
    again = RunDirectory.open(tmp_path, "mine")
    assert RunDirectory.look(tmp_path, "mine").running
    again.close()
    assert not RunDirectory.look(tmp_path, "mine").running


def test_a_holder_whose_disk_is_slow_is_named_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with make(tmp_path) as run:
        lock = run.path / "lock"
        lock.write_text(f"{gone.pid}\n")  # the one before was killed and left its number
        later = iter(["", f"{os.getpid()}\n"])

        def sleep(seconds: float) -> None:
            if refused:
                lock.write_text(next(later))

        def refuse(*args: Any) -> int | None:
            refused.append(True)
            return holder(*args)

        refused: list[bool] = []
        monkeypatch.setattr(time, "sleep", sleep)
        monkeypatch.setattr(run_directory, "holder", refuse)
        with pytest.raises(RunError, match=f"is being trained by process {os.getpid()}"):
            RunDirectory.open(tmp_path, "mine")


def test_a_run_that_was_let_go_names_nobody(tmp_path: Path) -> None:
    with make(tmp_path) as run:
        lock = run.path / "lock"
        assert lock.read_text() == f"{os.getpid()}\n"
    assert lock.read_text() == ""


@pytest.mark.parametrize("number", ["\x1b[2J", "0", "-1", "9" * 10, "9" * 11, ""])
def test_a_holder_that_is_not_known_is_not_named(
    number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "_PATIENCE", 0.0)
    with make(tmp_path) as run:
        (run.path / "lock").write_text(number)
        with pytest.raises(RunError, match="is being trained by another process"):
            RunDirectory.open(tmp_path, "mine")


def test_a_file_system_without_locks_takes_runs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))
    with make(tmp_path) as run:
        assert run.running
    assert not RunDirectory.look(tmp_path, "mine").running
