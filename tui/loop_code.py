"""The source of the loop that runs, read from its file: what is shown is what is executed."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..core import steps
from ..core.steps import Step


@dataclass(frozen=True, slots=True)
class CodeLine:
    """A line of the loop."""

    text: str
    step: Step | None = None
    """The phase that this line is, if it is one of the phases."""
    gate: bool = False
    """A `yield`: where the loop can be held."""


@cache
def loop_code(full: bool = False) -> tuple[CodeLine, ...]:
    """The loop over an epoch's batches, without importing it (that would load torch).

    Args:
        full: the one with accumulation and clipping.

    Returns:
        Nothing where the source is not at hand.
    """
    path = Path(steps.__file__).with_name("full.py" if full else "loop.py")
    try:
        source = path.read_text(encoding="utf-8")
    except OSError:
        return ()
    names = ("full_epoch", "_update") if full else ("plain_epoch",)
    functions = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name in names
    ]
    lines: list[CodeLine] = []
    for function in functions:
        body = next((node for node in function.body if isinstance(node, ast.While)), function)
        lines += [CodeLine("")] * bool(lines) + _part(source.splitlines(), body)
    return tuple(lines)


def _part(source: list[str], node: ast.While | ast.FunctionDef) -> list[CodeLine]:
    """The lines of a loop or function, moved to the left edge."""
    gates: dict[int, Step] = {}
    taken: dict[int, Step] = {}
    for parent in ast.walk(node):
        body = getattr(parent, "body", None)
        if not isinstance(body, list):
            continue
        for gate, following in zip(body, [*body[1:], None], strict=True):
            step = _yielded(gate)
            if step is not None:
                gates[gate.lineno] = step
                if following is not None:
                    taken[following.lineno] = step
    docstring = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
    skipped = {node.body[0].lineno} if docstring else set()
    return [
        CodeLine(source[n - 1][node.col_offset :], taken.get(n), n in gates)
        for n in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        if n not in skipped
    ]


def _yielded(node: ast.AST) -> Step | None:
    """The step of a statement `yield Step.X`."""
    match node:
        case ast.Expr(
            value=ast.Yield(value=ast.Attribute(value=ast.Name(id="Step"), attr=name))
        ) if name in Step.__members__:
            return Step[name]
    return None
