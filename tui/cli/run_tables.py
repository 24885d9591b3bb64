"""The runs that were kept, as tables for people and as objects for programs. Needs no torch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from ...core.storage.log_file import read_log
from ...core.storage.removal import remove_run, weight
from ...core.storage.run_directory import RunDirectory, RunError
from ...core.storage.run_index import RunSummary, run_named, summary
from ...presets.file_settings import said
from ..browse.rows import HEAD, aligned, cells, command, epochs_of, resuming, state, when
from ..render.format import clean, counted, fit, metric, number, size
from ..setup.attach import every_run, far_away
from ..terminal.output import Output

LATEST: Final = 8
"""Events that `runs show` lists."""


def table(folder: Path, output: Output) -> str:
    """Every run in a line, the newest first."""
    found = every_run(folder)
    if not found:
        return clean(f"no runs in {folder}; fivestep train starts one") + "\n"
    room = output.columns if output.is_terminal else None
    lines = aligned([HEAD, *map(cells, found)])
    return "".join(f"{one if room is None else fit(one, max(room, 1)).rstrip()}\n" for one in lines)


def as_json(folder: Path) -> str:
    """A list of objects, one a run, one a line; the fields are those of `RunSummary`."""
    rows = ",\n".join(json.dumps(_object(run), allow_nan=False) for run in every_run(folder))
    return f"[\n{rows}\n]\n"


def _object(run: RunSummary) -> dict[str, Any]:
    if run.path is None:
        return asdict(run) | {"epochs": None, "batches_done": None}
    return asdict(run) | {"path": str(run.path)}


def run_details(folder: Path, name: str | None, *, as_object: bool) -> str:
    """Everything about one run: the last one, if none is named.

    Raises:
        RunError: there is no such run.
    """
    directory = run_named(folder, name)
    path = directory.path
    run, (meta, _), (outcome, _) = summary(path), directory.read_meta(), directory.read_outcome()
    events = list(events_of(directory))
    if as_object:
        whole = _object(run) | {"meta": meta, "outcome": outcome, "events": events}
        return json.dumps(whole, allow_nan=False) + "\n"
    facts = run_facts(directory, run)
    width = max(len(label) for label, _ in facts)
    lines = [f"{label:<{width}}  {value}" for label, value in facts]
    if events:
        lines += ["", f"the last of {counted(len(events), 'event')}:"]
        lines += [
            f"  {when(event.get('time'))}  batch {event.get('batches_done', '?')}: "
            f"{event.get('text', '')}{asked_by(event.get('by'))}"
            for event in events[-LATEST:]
        ]
    return "".join(clean(line) + "\n" for line in lines)


def run_facts(directory: RunDirectory, run: RunSummary) -> list[tuple[str, str]]:
    """What is known of a run, by what it is called; not clean."""
    (meta, _), (outcome, _) = directory.read_meta(), directory.read_outcome()
    process = directory.process
    facts = [
        ("run", f"{run.name}  ({directory.path})"),
        ("state", state(run) + (f": {why}" if (why := run.reason or far_away(run)) else "")),
        ("where", ", ".join(filter(None, map(outcome.get, ("line", "where"))))),
        ("broken", _broken(outcome)),
        ("command", meta.get("command")),
        ("settings", _settings(meta.get("settings"))),
        ("started", f"{when(run.started)} in {meta.get('cwd', '?')}"),
        ("trained", _trained(run)),
        ("best", _best(run)),
        ("val loss", None if run.val_loss is None else number(run.val_loss)),
        ("on", _machine(meta)),
        ("commit", (meta.get("git") or {}).get("commit")),
        ("verdicts", "; ".join(str(one.get("what")) for one in outcome.get("verdicts") or ())),
        ("missing", ", ".join(_missing(directory, run))),
        ("resumed", len(meta.get("resumes") or ())),
        ("checkpoints", f"{run.checkpoints}, {size(run.size)} in all"),
        ("to resume", resuming(run) if run.resumable else None),
        ("to attach" if run.reachable else "to look at", command(run, "attach")),
        ("to stop", process and f"kill {process} (after the batch under way, and saved)"),
    ]
    return [(label, str(value)) for label, value in facts if value]


def prune(folder: Path, names: Sequence[str], *, asks: bool) -> str:
    """Remove runs from the disk; what to say of it.

    Args:
        folder: the runs folder.
        names: which; if one of them can't be removed, none is.
        asks: ask the person first.

    Raises:
        RunError: there is no such run, it is being trained, or the disk refuses.
    """
    runs = [RunDirectory.look(folder, name) for name in dict.fromkeys(names)]
    live = [run.name for run in runs if summary(run.path).state == "running"]
    if live:
        raise RunError(f"{', '.join(live)}: being trained now; nothing was removed")
    freed = size(sum(weight(run.path) for run in runs))
    told = f"{counted(len(runs), 'run')} ({', '.join(run.name for run in runs)})"
    if asks and input(clean(f"remove {told}? It frees {freed}. y or n: ")).strip() != "y":
        return "nothing was removed\n"
    for run in runs:
        remove_run(folder, str(run.path))
    return clean(f"removed {told}: {freed} freed") + "\n"


def _broken(outcome: Mapping[str, Any]) -> str | None:
    """What was wrong with the loop on purpose, and what of it was undone."""
    parts = [", ".join(outcome["switches"])] if outcome.get("switches") else []
    for one in outcome.get("undone") or ():
        names = ", ".join(one.get("switches") or ())
        first, last = one.get("first") or 0, one.get("last") or 0
        parts.append(f"{names} for batches {first:,} to {last:,}, undone")
    return f"on purpose: {'; '.join(parts)}" if parts else None


def _settings(found: Any) -> str | None:
    """The parameters of a file's `training()`."""
    if not isinstance(found, dict) or not found:
        return None
    return ", ".join(f"{name} {said(value)}" for name, value in found.items())


def events_of(directory: RunDirectory) -> Iterator[dict[str, Any]]:
    """What has happened in a run, in order; nothing where that can't be read."""
    with contextlib.suppress(OSError):
        yield from read_log(directory.events)


def asked_by(by: Any) -> str:
    """Who asked for it from another process, and from where."""
    if not isinstance(by, dict):
        return ""
    return f" ({by.get('user', '?')}, process {by.get('pid', '?')} on {by.get('host', '?')})"


def _missing(directory: RunDirectory, run: RunSummary) -> list[str]:
    """The files that a run which has trained has, and this one has not."""
    if not run.checkpoints and not run.batches_done:
        return []
    files = [directory.meta, directory.metrics, directory.events]
    if directory.read_meta()[0].get("kind") == "recipe":
        files.append(directory.recipe)
    return [file.name for file in files if not file.is_file()]


def _trained(run: RunSummary) -> str:
    return f"{epochs_of(run)}, {counted(run.batches_done, 'batch')}"


def _best(run: RunSummary) -> str | None:
    if run.best is None:
        return None
    return f"{run.metric_name} {metric(run.metric_name, run.best)} in epoch {run.best_epoch}"


def _machine(meta: dict[str, Any]) -> str | None:
    versions = meta.get("versions") or {}
    threads = meta.get("threads", "?")
    in_words = counted(threads, "thread") if isinstance(threads, int) else f"{threads} threads"
    ranks = meta.get("ranks")
    parts = [
        *([f"{ranks} processes"] if isinstance(ranks, int) and ranks > 1 else []),
        f"{meta.get('device', '?')}, {in_words}",
        *([str(meta["amp"])] if meta.get("amp") else []),
    ]
    return ", ".join(parts + [f"{key} {value}" for key, value in versions.items()])
