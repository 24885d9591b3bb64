"""The source of the loop that runs, read from its file: what is shown is what is executed."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from ...core.protocol.faults import Fault
from ...core.protocol.steps import Step

Which = Literal["plain", "full", "broken"]
"""The guide's loop; the one with all else that a batch may need; that one with its faults."""

_FUNCTIONS: Final = {
    "plain": ("plain_epoch",),
    "full": ("full_epoch", "_update"),
    "broken": ("full_epoch", "_update"),
}
Fate = Literal["", "left out", "misplaced", "idle"]
"""Of a line while something is broken: what a healthy loop takes and this one doesn't, the other
way round, or what neither of them does."""
Taken = tuple[frozenset[str], bool]
"""Names of switches, and whether one of them has to be on."""


@dataclass(frozen=True, slots=True)
class CodeLine:
    """A line of the loop."""

    text: str
    step: Step | None = None
    """The phase that this line is, if it is one of the phases."""
    gate: bool = False
    """A `yield`: where the loop can be held."""
    only: Taken | None = None
    """The switches that decide whether it is executed; None always is."""

    def fate(self, on: Iterable[Fault]) -> Fate:
        """What these switches do to it."""
        if self.only is None:
            return ""
        names, wanted = self.only
        met = bool(names & {fault.name for fault in on})
        if wanted:
            return "misplaced" if met else "idle"
        return "left out" if met else ""


@cache
def loop_code(which: Which = "plain") -> tuple[CodeLine, ...]:
    """The loop over an epoch's batches; nothing where the source is not at hand."""
    file = find_spec("...core.training.loop", __package__)  # importing it would import torch
    try:
        source = Path(str(file and file.origin)).read_text(encoding="utf-8")
    except OSError:
        return ()
    functions = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name in _FUNCTIONS[which]
    ]
    lines: list[CodeLine] = []
    for i, function in enumerate(functions):
        part = _part(source.splitlines(), function, head=i > 0, faults=which == "broken")
        lines += [CodeLine("")] * bool(lines) + part
    return tuple(lines)


def _part(
    source: list[str], function: ast.FunctionDef, *, head: bool, faults: bool
) -> list[CodeLine]:
    """The lines of a function from `model.train()` on, at the left edge.

    Args:
        head: begin with its head; one that does not call `model.train` is shown whole.
        faults: show where faults are injected, too.
    """
    gates: dict[int, Step] = {}
    taken: dict[int, Step] = {}
    only: dict[int, Taken] = {}
    text = dict(enumerate(source, start=1))
    for parent in ast.walk(function):
        if isinstance(parent, ast.If) and (condition := _condition(parent.test)) is not None:
            lines = range(parent.body[0].lineno, _last(parent) + 1)
            if faults:
                only |= dict.fromkeys(lines, condition)
            else:
                _without_fault(text, parent, lines, condition)
        elif isinstance(parent, ast.Expr) and isinstance(parent.value, ast.Call):
            conditions = [(arg, c) for arg in parent.value.args if (c := _condition(arg))]
            for argument, condition in conditions:
                if faults:
                    only[parent.lineno] = condition
                else:
                    row = text[parent.lineno]
                    text[parent.lineno] = (
                        row[: argument.col_offset] + row[argument.end_col_offset :]
                    )
        body = getattr(parent, "body", None)
        if not isinstance(body, list):
            continue
        for gate, following in zip(body, [*body[1:], None], strict=True):
            step = _yielded(gate)
            if step is not None:
                gates[gate.lineno] = step
                if following is not None:
                    taken[_core(following).lineno] = step
    # What is unpacked before the guide's first line would only take room.
    body = function.body[ast.get_docstring(function) is not None :]
    trains = (n for n in body if source[n.lineno - 1].lstrip().startswith("model.train("))
    first = next(trains, body[0])
    numbers = [*([function.lineno] if head else []), *range(first.lineno, _last(function) + 1)]
    margin = function.col_offset if head else first.col_offset
    return [
        CodeLine(text[n][margin:], taken.get(n), n in gates, only.get(n))
        for n in numbers
        if n in text
    ]


def _without_fault(text: dict[int, str], node: ast.If, body: range, condition: Taken) -> None:
    """Leave a condition out of the lines of a loop: what only a fault executes goes with it."""
    del text[node.lineno]
    _, wanted = condition
    for number in body:
        if wanted:
            del text[number]
        else:
            text[number] = text[number].removeprefix(
                " " * (node.body[0].col_offset - node.col_offset)
            )
    if wanted and not text[node.lineno - 1].strip():
        del text[node.lineno - 1]


def _core(node: ast.stmt) -> ast.stmt:
    """The step itself, out of a `with`, or out of the condition that can leave it out."""
    while isinstance(node, ast.With) or (isinstance(node, ast.If) and _condition(node.test)):
        node = node.body[0]
    return node


def _last(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _condition(node: ast.expr) -> Taken | None:
    """The switches that a condition asks for, and whether one of them has to be on."""
    names = frozenset(
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute)
        and isinstance(part.value, ast.Name)
        and part.value.id == Fault.__name__
    )
    if not names:
        return None
    match node:
        case ast.UnaryOp(op=ast.Not()) | ast.Compare(ops=[ast.NotIn()]):
            return names, False
        case _:
            return names, True


def _yielded(node: ast.AST) -> Step | None:
    """The step of a statement `yield Step.X`."""
    match node:
        case ast.Expr(
            value=ast.Yield(value=ast.Attribute(value=ast.Name(id="Step"), attr=name))
        ) if name in Step.__members__:
            return Step[name]
    return None
