"""What is written down about a run, beside its numbers: what it is, where it runs, with what."""

from __future__ import annotations

import hashlib
import time
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..core.environment import git_state
from ..core.rundir import RunDirectory
from .plan import FilePlan, Plan, RecipePlan

if TYPE_CHECKING:
    from ..core.training import Training


def session_facts(training: Training) -> dict[str, Any]:
    """Where a training runs, and with what: what may change its bits."""
    import platform

    import numpy
    import torch

    return {
        "device": str(training.device),
        "threads": training.threads or torch.get_num_threads(),
        "amp": training.amp,
        "compile": training.compile,
        "versions": {
            "fivestep": __version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": numpy.__version__,
        },
    }


def recipe_text(plan: RecipePlan) -> str:
    """The resolved recipe, which can be trained again from anywhere."""
    recipe = plan.recipe
    options = dict(recipe.dataset.options)
    for key in ("path", "data_dir"):
        if options.get(key):
            options[key] = str(Path(str(options[key])).absolute())
    return replace(recipe, dataset=replace(recipe.dataset, options=options)).to_toml()


def flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A table of tables with dotted keys."""
    made: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            made |= flat(value, f"{before}{key}.")
        else:
            made[before + key] = value
    return made


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex.

    Raises:
        OSError: it can't be read.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()


def describe(directory: RunDirectory, plan: Plan) -> None:
    """Write down what is known before anything is built. Raises OSError if the disk refuses it."""
    meta: dict[str, Any] = {
        "format": 1,
        "name": directory.name,
        "preset": plan.name,
        "started": time.time(),
        "epochs": plan.preview.epochs,
        "cwd": str(Path.cwd()),
        "git": git_state(Path.cwd()),
        "versions": {"fivestep": __version__},
        "resumes": [],
    }
    if isinstance(plan, RecipePlan):
        text = recipe_text(plan)
        directory.write_recipe(text)
        meta |= {
            "kind": "recipe",
            "file": None,
            "recipe": flat(tomllib.loads(text)),
            "command": plan.recipe.command,
        }
    if isinstance(plan, FilePlan):
        path = plan.run.path
        meta |= {
            "kind": "file",
            "file": {"path": str(path.absolute()), "sha256": file_digest(path)},
            "changes": dict(plan.run.changes),
            "command": f"fivestep train {path}",
        }
    directory.write_meta(meta)
