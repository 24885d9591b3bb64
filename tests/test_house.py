"""The laws of the house that import contracts don't say: circles, names, rooms, other's privacy."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from textual.app import App
from textual.widget import Widget
from torch import nn

ROOT = Path(__file__).parents[1]
FLOORS = ("core", "presets", "tui")
FILES: Final = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for floor in FLOORS
    for path in sorted((ROOT / floor).rglob("*.py"))
}
PRIVATE: Final = {
    "_fused_sgd_": "torch: the kernels of its fused optimizers, without what it wraps around them",
    "_fused_adam_": "the same",
    "_fused_adamw_": "the same",
    "_global_optimizer_pre_hooks": "torch: whether somebody has hooked every optimizer",
    "_global_optimizer_post_hooks": "the same",
    "_amp_foreach_non_finite_check_and_unscale_": "torch: one look at all gradients",
    "_orig_mod": "torch: the model inside a compiled one",
    "_compiled_call_impl": "torch: whether a model was compiled in place",
    "_metadata": "torch: the versions of modules in a state dict",
    "_get_unique_pixels": "plotext: not to look for colours that a chart doesn't have",
}
"""Private names of other libraries that are used, and what for. None is added without need: each
can break with any release of theirs."""
OTHERS: Final = (nn.Linear(1, 1), torch.zeros(()), torch.optim.SGD([torch.zeros(())]), App, Widget)
DOCUMENTED: Final = {"_exit", "_fields"}
"""Of `os` and of named tuples: private by their looks only."""


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("fivestep", *parts)).removesuffix(".__init__")


def _imports(path: Path, known: set[str]) -> Iterator[str]:
    """The modules of ours that a file imports, late imports and those for types too."""
    package = _module(path) if path.name == "__init__.py" else _module(path).rpartition(".")[0]
    for node in ast.walk(FILES[path]):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            for name in node.names:
                inner = f"{base}.{name.name}"
                yield from [inner if inner in known else base]


def test_no_files_import_each_other_in_a_circle() -> None:
    known = {_module(path) for path in FILES}
    arrows = {_module(path): set(_imports(path, known)) & known for path in FILES}
    left = dict(arrows)
    while free := [name for name, to in left.items() if not to & left.keys() - {name}]:
        for name in free:
            del left[name]
    assert not left, "in a circle, or above one: " + ", ".join(sorted(left))


def test_no_two_classes_have_one_name() -> None:
    names = Counter(
        node.name
        for tree in FILES.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert not [name for name, count in names.items() if count > 1]


def test_each_room_says_what_belongs_there() -> None:
    rooms = [
        path for path in FILES if path.name == "__init__.py" and path.parent.name not in FLOORS
    ]
    assert len(rooms) > 15
    for path in rooms:
        told = ast.get_docstring(FILES[path]) or ""
        assert "Not here:" in told, path
        assert "Begin with" in told, path


def test_private_names_of_others_are_these() -> None:
    """A private name that nobody here has defined is somebody else's; so is what we have defined
    too, where it is asked of a variable that is no object of ours.
    """
    used: dict[str, set[str]] = defaultdict(set)
    ours = {name for tree in FILES.values() for name in _defined(tree)}
    theirs = {name for kind in OTHERS for name in dir(kind) if _is_private(name)}
    for path, tree in FILES.items():
        defined = set(_defined(tree))
        for name in _private(tree):
            if name not in ours | DOCUMENTED or name in theirs - defined:
                used[name].add(path.relative_to(ROOT).as_posix())
    assert {name: sorted(files) for name, files in used.items() if name not in PRIVATE} == {}
    assert PRIVATE.keys() <= used.keys(), "one of them is used no more"
    assert len(PRIVATE) <= 10


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def _defined(tree: ast.Module) -> Iterator[str]:
    """Names that a file gives to something of its own: not those of variables within functions."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                yield name
            case ast.ClassDef(body=body) | ast.Module(body=body):
                yield from (inner.name for inner in body if isinstance(inner, ast.ClassDef))
                for inner in body:
                    targets = getattr(inner, "targets", [getattr(inner, "target", None)])
                    yield from (one.id for one in targets if isinstance(one, ast.Name))


def _private(tree: ast.Module) -> Iterator[str]:
    """Private names that a file takes from something: attributes, imports, in `getattr`."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) if _is_private(name):
                yield name
            case ast.ImportFrom(module=module, names=names):
                yield from (one.name for one in names if _is_private(one.name))
                yield from (part for part in (module or "").split(".") if _is_private(part))
            case ast.Call(func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=[_, name, *_]):
                if isinstance(name, ast.Constant) and _is_private(str(name.value)):
                    yield str(name.value)
