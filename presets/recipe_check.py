"""Checks a recipe's table key by key, and says in one line what is wrong. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..core.protocol.steps import Task
from . import components
from .catalogue import DATASET_NAME, DATASETS, MODEL_NAME, MODELS, SCHEDULER_NAME, SCHEDULERS
from .errors import RecipeError, nearest, printable, shown
from .overrides import flag
from .value_types import Flag, Matching, Options, Real, Several, Text, Value, Whole, Word

if TYPE_CHECKING:
    from ..core.protocol.steps import TaskName

TOP: Final[Options] = {
    "name": Matching(
        None, r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "1 to 64 letters, digits, dots, dashes"
    ),
    "description": Text(""),
    "seed": Whole(0, 0, 2**63 - 1),
    "epochs": Whole(10, 1, 1_000_000),
    "batch_size": Whole(32, 1, 65_536),
    "accumulate": Whole(1, 1, 10_000),
    "clip_norm": Real("off", 0, 1e6, above=True, words=("off",)),
    "device": Matching(
        "auto", r"auto|cpu|mps|cuda(:[0-9]{1,3})?", "auto, cpu, cuda, cuda:N or mps"
    ),
    "threads": Whole("auto", 1, 1024, words=("auto",)),
    "amp": Word("off", ("off", "bf16", "fp16")),
    "compile": Flag(False),
    "early_stop": Whole("off", 1, 1_000_000, words=("off",)),
    "min_delta": Real(0.0, 0, 1e6),
    "freeze": Several(
        (),
        Matching(
            "*",
            r"[A-Za-z0-9_.*?!\[\]-]{1,100}",
            "a pattern for names of parameters, such as features.*",
        ),
        0,
        32,
    ),
}
EXPECT: Final[Options] = {
    "text": Text(""),
    "metric": Word("", ("accuracy", "r2", "perplexity")),
    "value": Real(0.0, -1e9, 1e9),
    "seconds": Real(0.0, 0, 1e9),
    "parameters": Whole(0, 0, 10**12),
}
SECTIONS: Final[dict[str, tuple[Word, Mapping[str, Options]]]] = {
    "dataset": (DATASET_NAME, {name: entry.options for name, entry in DATASETS.items()}),
    "model": (MODEL_NAME, {name: entry.options for name, entry in MODELS.items()}),
    "criterion": (components.CRITERION, components.LOSSES),
    "optimizer": (components.OPTIMIZER, components.OPTIMIZERS),
    "scheduler": (SCHEDULER_NAME, SCHEDULERS),
}
_EVERY: Final = (
    *TOP,
    *(f"{section}.name" for section in SECTIONS),
    *(f"{s}.{key}" for s, (_, choices) in SECTIONS.items() for o in choices.values() for key in o),
)
"""Every key that some recipe may have."""


@dataclass(frozen=True, slots=True)
class Check:
    """Checks tables; every error names the file, or the flag, and the key."""

    called: str
    """What the file is called."""
    overridden: frozenset[str] = frozenset()
    """Dotted keys that come from the command line, not from the file."""

    def fail(self, key: str, text: str) -> NoReturn:
        """Raise RecipeError about a key."""
        where = flag(key) if key in self.overridden else f"{self.called}: {key}"
        raise RecipeError(f"{printable(where)}: {text}")

    def keys(self, table: Mapping[str, Any], overrides: Iterable[str]) -> None:
        """Refuse an unknown key, and a section that is no table."""
        sections = (*SECTIONS, "expect")
        top = (*TOP, *sections)
        has = f"a recipe has {', '.join(top)}"
        for key, value in table.items():
            if key not in sections:
                self._known(key, top, "", has)
            elif not isinstance(value, dict):
                self.fail(key, f"expected a section [{key}], not {shown(value)}")
        for key in overrides:
            section, dot, rest = key.partition(".")
            if key in sections:
                self.fail(key, f"this is a section; set one of its keys, such as {key}.name")
            if not (dot and section in SECTIONS and rest) and key not in TOP:
                self._known(key, (), "", has)

    def options(self, table: Mapping[str, Any], prefix: str, options: Options) -> dict[str, Value]:
        """A value for every option: the table's, or else the default."""
        return {
            key: self._value(prefix + key, table.get(key, option.default), option)
            for key, option in options.items()
        }

    def given(self, table: Mapping[str, Any], prefix: str, options: Options) -> dict[str, Value]:
        """A value for every option that the table has."""
        has = f"{prefix.strip('.')} has {', '.join(options)}"
        for key in table:
            self._known(key, options, prefix, has)
        return {k: self._value(prefix + k, v, options[k]) for k, v in table.items()}

    def section(self, table: Mapping[str, Any], section: str) -> tuple[str, dict[str, Value]]:
        """The name that a section chooses, and a value for every option of the chosen entry."""
        word, choices = SECTIONS[section]
        given = dict(table.get(section, {}))
        name = self._value(f"{section}.name", given.pop("name", word.default), word)
        options = choices[str(name)]
        for key in given:
            owners = [owner for owner, has in choices.items() if key in has]
            has = f"{name} has {', '.join(options) or 'no options'}"
            if owners and key not in options:
                self.fail(f"{section}.{key}", f"an option of {', '.join(owners)}; {has}")
            self._known(key, options, f"{section}.", has)
        return str(name), self.options(given, f"{section}.", options)

    def fit(self, dataset: str, model: str) -> None:
        """Refuse a model that can't take the kind of features that the data set has."""
        data, takes = DATASETS[dataset], MODELS[model].takes
        if data.kind in takes:
            return
        shapes = " or ".join(f"{kind} {shape}" for kind, shape in takes.items())
        fitting = " or ".join(name for name, entry in MODELS.items() if data.kind in entry.takes)
        gives = f"{dataset} gives {data.kind} {data.shape}"
        key = "model.name" if "model.name" in self.overridden else "dataset.name"
        self.fail(key, f"{model} takes {shapes}, but {gives}; {fitting} would fit")

    def metric(self, metric: Value | None, task: TaskName) -> None:
        """Refuse a schedule that waits for a metric that the task does not have."""
        measured = Task(task).schedule_metrics
        if metric is not None and metric not in measured:
            text = f"validation measures {', '.join(measured)} here, no {metric}"
            self.fail("scheduler.metric", text)

    def _value(self, key: str, value: Any, option: Any) -> Value:
        if value is None:
            self.fail(key, f"missing: expected {option.expected}")
        try:
            checked: Value = option.check(value)
        except ValueError as error:
            self.fail(key, str(error))
        return checked

    def _known(self, key: str, options: Iterable[str], prefix: str, has: str) -> None:
        """Refuse a key that is not among these options; `has` says which ones there are."""
        options = tuple(options)
        if key in options:
            return
        last = key.rpartition(".")[2]
        guess = next((k for k in _EVERY if k.rpartition(".")[2] == last), None)
        near = nearest(key, options or _EVERY)
        if guess is None and near is not None:
            guess = prefix + near
        hint = f"; did you mean {guess}?" if guess else ""
        self.fail(prefix + key, f"unknown key; {has}{hint}")
