"""`fivestep config`: what a person prefers, as a table or as JSON."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping
from typing import Any

import typer

from ..render.format import clean
from ..setup.preferences import Preferred, all_preferred, file
from ..terminal.output import stdout, written
from .errors import refusals
from .options import BellOption, NotifyOption, OneObjectOption, RunsDirOption


def config(
    runs_dir: RunsDirOption = None,
    bell: BellOption = None,
    notify: NotifyOption = None,
    json: OneObjectOption = False,
) -> None:
    """Show your settings, and where each comes from.

    They are in config.toml; the first line says where that is.
    """
    with refusals():
        found = all_preferred({"runs_dir": runs_dir, "bell": bell, "notify": notify})
    raise typer.Exit(written(stdout(), as_json(found) if json else as_table(found)))


def as_table(found: Mapping[str, Preferred]) -> str:
    """A line a setting: its name, what holds, and why."""
    there = "" if file().is_file() else " (not there)"
    rows = [(name, _said(one.value), one.source) for name, one in found.items()]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    lines = [f"{name:<{widths[0]}}  {value:<{widths[1]}}  {why}" for name, value, why in rows]
    return "".join(clean(line) + "\n" for line in (f"{file()}{there}", *lines))


def as_json(found: Mapping[str, Preferred]) -> str:
    """One object: the file, and of each setting value and source."""
    settings = {name: {"value": one.value, "source": one.source} for name, one in found.items()}
    return json_format.dumps({"file": str(file()), "settings": settings}) + "\n"


def _said(value: Any) -> str:
    """A value as one writes it in the file."""
    if isinstance(value, list):
        return " ".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else value or '""'
