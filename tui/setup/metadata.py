"""What run.json says of a run: what is trained, where it runs, with which versions."""

from __future__ import annotations

import hashlib
import os
import socket
import time
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from ... import __version__
from ...core.comparison.kept_run import LEFT_OUT
from ...core.protocol.rank import Parallel, this_rank
from ...core.protocol.record_fields import RUN_FORMAT
from ...core.storage.environment import git_state
from ...core.storage.run_directory import RunDirectory
from ...presets.catalogue import DATASETS, MODELS
from ...presets.errors import printable
from ...presets.recipe_check import TOP
from .plan import Plan, RecipePlan

if TYPE_CHECKING:
    import torch

    from ...core.protocol.snapshot import RunInfo
    from ...core.training.training import Training


DATA: Final = ("dataset", "batch_size", "accumulate")
"""Where these change, so do the batches of an epoch."""
JUDGED: Final = ("dataset", "model", "criterion", "seed")
"""Where these change, the same weights are judged otherwise."""
SHA256: Final = "dataset.sha256"
"""Of the table that a recipe reads; not a key of the recipe itself."""


def versions() -> dict[str, str]:
    """The versions of what computes, by name."""
    import platform

    import numpy
    import torch

    return {
        "fivestep": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
    }


def session_facts(training: Training) -> dict[str, Any]:
    """Where a training runs and with which versions: what may change its numbers' last bits."""
    import torch

    from ...core.training.spread import is_spread

    threads = training.threads or torch.get_num_threads()
    facts = machine_facts(training.device, threads, training.amp, compile=training.compile)
    if training.ranks is None:
        return facts | {"ranks": 1}
    parallel: Parallel = "fsdp" if is_spread(training.model) else "ddp"
    return facts | {"ranks": training.ranks.size, "parallel": parallel}


def machine_facts(
    device: torch.device, threads: int, amp: str | None = None, *, compile: bool = False
) -> dict[str, Any]:
    """The same of any run."""
    return {
        "device": str(device),
        "threads": threads,
        "amp": amp,
        "compile": compile,
        "versions": versions(),
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


def file_digest(path: Path) -> str | None:
    """SHA-256 of a file, in hex; None if it can't be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError):  # no path at all
        return None


def data_digest(plan: RecipePlan) -> str | None:
    """SHA-256 of the table that a recipe reads; None where it reads none, or it can't be read."""
    options = plan.recipe.dataset.options
    if plan.recipe.dataset.name != "csv":
        return None
    return file_digest(Path(str(options["data_dir"]), str(options["path"])))


def recipe_facts(plan: RecipePlan) -> dict[str, Any]:
    """A recipe as a run was trained with it: what a later one is compared with."""
    table = flat(tomllib.loads(recipe_text(plan)))
    digest = data_digest(plan)
    return table if digest is None else table | {SHA256: digest}


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """What differs between two recipes, by key: "key old → new". {} stands for an unknown one."""
    keys = sorted(before.keys() | now.keys()) if before else ()
    differences = {}
    for key in keys:
        if key == SHA256 and not (key in now and key in before):
            continue  # building the run says what is wrong; an older version kept none
        if key not in before and now[key] == _default(key, now):
            continue  # an older version had no such option
        old, new = before.get(key, "unset"), now.get(key, "unset")
        if old != new and key.split(".")[0] not in LEFT_OUT:
            differences[key] = f"{key} {old} → {new}"
    if SHA256 in differences:
        differences[SHA256] = "the table in dataset.path"
    return differences


def _default(key: str, recipe: Mapping[str, Any]) -> Any:
    """What an option of the run, the data set or the model is where a recipe says nothing of it."""
    if key in TOP:
        return TOP[key].default
    section, _, name = key.partition(".")
    named = str(recipe.get(f"{section}.name"))
    entry = DATASETS.get(named) if section == "dataset" else MODELS.get(named)
    if entry is None or name not in entry.options:
        return None
    value = entry.options[name].default
    return list(value) if isinstance(value, tuple) else value  # as TOML has it


def plan_facts(plan: Plan, parallel: Parallel | None = None) -> dict[str, Any]:
    """What is trained, as run.json has it; `parallel`: as was asked for."""
    rank = this_rank()
    ranks = f" --nproc {rank.size}" if 1 < rank.size == rank.local_size else ""
    ranks += f" --parallel {parallel}" if ranks and parallel else ""
    if isinstance(plan, RecipePlan):
        return {
            "kind": "recipe",
            "file": None,
            "recipe": recipe_facts(plan),
            "command": plan.recipe.command + ranks,
        }
    own = plan.run
    return {
        "kind": "file",
        "file": {
            "path": str(own.path.absolute()),
            "sha256": file_digest(own.path),
            "modules": {_place(one, own.path): file_digest(one) for one in own.modules},
        },
        "changes": dict(own.changes),
        "command": own.command + ranks,
    }


def _place(module: Path, file: Path) -> str:
    """Where a module is: relative to the file that imports it, if it lies beside or below it."""
    folder = file.resolve().parent
    return str(module.relative_to(folder) if module.is_relative_to(folder) else module)


def changed_modules(then: Mapping[str, Any], file: Path) -> list[str]:
    """Which of the modules that a run's file imported are others now, or are gone.

    Args:
        then: `file` in its run.json.
        file: the file as it is named now; it may have been moved with its modules.
    """
    folder, modules = file.resolve().parent, then.get("modules") or {}
    return [place for place, was in modules.items() if file_digest(folder / place) != was]


def changed_data(then: Any, now: Mapping[str, Any]) -> tuple[str, ...]:
    """What has changed of the data and the model since weights were trained, for a person.

    Args:
        then: what their checkpoint says of itself; anything.
        now: `plan_facts` of what evaluates them.
    """
    then = then if isinstance(then, dict) else {}
    before, after = ((about.get("recipe") or {}) for about in (then, now))
    found = changed(before, after) if after else {}
    told = [one for key, one in found.items() if key.split(".")[0] in JUDGED]
    return (*told, *changed_files(then.get("file"), now["file"]))


def changed_files(then: Any, now: Mapping[str, Any] | None) -> list[str]:
    """Which of a person's own file and its modules are others than they were, for a person.

    Args:
        then: `file` as a checkpoint has it; None of a recipe.
        now: the same of `plan_facts`.
    """
    if not now or not then:
        return []
    told = [now["path"]] if then.get("sha256") != now["sha256"] else []
    old, new = then.get("modules") or {}, now["modules"]
    told += [place for place in sorted(old.keys() & new.keys()) if old[place] != new[place]]
    return [printable(one) for one in told]


def describe(directory: RunDirectory, plan: Plan, parallel: Parallel | None) -> None:
    """Write down what is known before anything is built. Raises OSError if the disk refuses it."""
    write_plan(directory, plan)
    facts = start_facts(plan.name) | {"epochs": plan.preview.epochs}
    facts["together"] = this_rank().size
    directory.write_meta({"name": directory.name} | facts | plan_facts(plan, parallel))


def start_facts(preset: str) -> dict[str, Any]:
    """What is known of any run that starts now."""
    return {
        "format": RUN_FORMAT,
        "preset": preset,
        "started": time.time(),
        "cwd": str(Path.cwd()),
        "git": git_state(Path.cwd()),
        "versions": {"fivestep": __version__},
        "resumes": [],
        "torchrun": torchrun_process(),
    }


def torchrun_process() -> str | None:
    """Which torchrun has started this process: the same again after a restart."""
    if "TORCHELASTIC_RESTART_COUNT" not in os.environ:
        return None
    parent = os.getppid()
    with suppress(psutil.Error):
        return f"{socket.gethostname()} {parent} {psutil.Process(parent).create_time()}"
    return None


def info_facts(info: RunInfo) -> dict[str, Any]:
    """What only the built run knows."""
    return {
        "epochs": info.epochs or None,
        "data": info.data,
        "model": info.model,
        "parameters": info.parameters,
        "metric_name": info.metric_name,
        "higher_is_better": info.higher_is_better,
        "optimizer": info.optimizer,
        "seed": info.seed,
        "settings": dict(info.settings) or None,
        "info": asdict(info),
    }


def write_plan(directory: RunDirectory, plan: Plan) -> None:
    """Keep the recipe, so that it can be trained again. Raises OSError if the disk refuses it."""
    if isinstance(plan, RecipePlan):
        directory.write_recipe(recipe_text(plan))
