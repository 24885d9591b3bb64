"""Previews of data sets and models. Needs torch: only the thread in `preview` imports it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from ...core.protocol.inside import GreyImage
from ...core.training.device import choose_device
from ...core.training.own_code import first_line
from ...presets import build
from ...presets.catalogue import DATASETS
from ...presets.data.dataset import Dataset
from ...presets.data.images import at_hand
from ...presets.recipe import Recipe, RecipeError, Section
from ..render.data_pictures import (
    DataPicture,
    Excerpt,
    Histograms,
    Images,
    LayerSummary,
    Preview,
    Scatter,
)

VERSION = torch.__version__.partition("+")[0]
MOST_POINTS = 1500
MOST_IMAGES = 48
MOST_CHARACTERS = 6000
MOST_COLUMNS = 200
"""How much of a data set is shown."""
BINS = 48
"""Of a histogram."""


class DataInspector:
    """Makes previews; keeps the latest data sets and layers for whoever comes back to them."""

    def __init__(self) -> None:
        self._data = lru_cache(maxsize=4)(_load)
        self._picture = lru_cache(maxsize=16)(lambda key: picture(self._data(key)))
        self._layers = lru_cache(maxsize=64)(self._outline)

    def preview(self, recipe: Recipe, *, model: bool = True) -> Preview:
        """The recipe's data and, if `model`, its layers. Errors are in the `Preview`."""
        device, problem = _device(recipe)
        seen = Preview(device=device, device_problem=problem, torch=VERSION)
        key = _Key(recipe, recipe.dataset)
        try:
            data, shown = self._data(key), self._picture(key)
        except Exception as error:  # a data set may fail in any way; the screen goes on
            return replace(seen, picture=_reason(error), layers="known once the data is there")
        seen = replace(
            seen,
            about=data.about,
            notes=recipe.notes,
            samples=len(data.features),
            picture=shown,
            inputs=_shape(data.features),
        )
        if not model:
            return seen
        try:
            found = self._layers(_Key(recipe, recipe.dataset, recipe.model))
        except Exception as error:
            return replace(seen, layers=_reason(error))
        return replace(seen, layers=found, parameters=found[-1].parameters)

    def _outline(self, key: _Key) -> tuple[LayerSummary, ...]:
        return layers(key.recipe, self._data(_Key(key.recipe, key.recipe.dataset)))


class _Key:
    """A recipe of which only some sections count when two are compared."""

    def __init__(self, recipe: Recipe, *sections: Section) -> None:
        self.recipe = recipe
        self._value = tuple((s.name, tuple(s.options.items())) for s in sections)

    def __hash__(self) -> int:
        return hash(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other._value == self._value


def _load(key: _Key) -> Dataset:
    """The data; nothing is downloaded only to be looked at."""
    recipe = key.recipe
    size = DATASETS[recipe.dataset.name].download
    if size and not at_hand(recipe.dataset.name, str(recipe.dataset.options["data_dir"])):
        raise RecipeError(f"{recipe.dataset.name}: {size} will be downloaded when it is started")
    return build.load_data(key.recipe)


def picture(data: Dataset) -> DataPicture:
    """The picture that suits a data set: text, images, points or histograms."""
    features, labels = data.features, data.labels
    if features.dtype == torch.int64:
        tokens = features.flatten()[:MOST_CHARACTERS].tolist()
        return Excerpt("".join(data.label_names[token] for token in tokens))
    if features.dim() >= 3:
        return _images(data)
    if features.shape[1] == 1 and labels.is_floating_point():
        x, y = features[:MOST_POINTS, 0].tolist(), labels[:MOST_POINTS, 0].tolist()
        return Scatter(tuple(x), tuple(y), (0,) * len(x))
    if features.shape[1] == 2 and not labels.is_floating_point():
        x, y = features[:MOST_POINTS, 0].tolist(), features[:MOST_POINTS, 1].tolist()
        return Scatter(
            tuple(x), tuple(y), tuple(labels[:MOST_POINTS].tolist()), data.label_names, True
        )
    return _histograms(features, data.feature_names)


def _images(data: Dataset) -> Images:
    """Samples of every class in turn, in grey."""
    queues: dict[int, list[int]] = {}
    for i, label in enumerate(data.labels[:5000].tolist()):
        queues.setdefault(label, []).append(i)
    turns = -(-MOST_IMAGES // max(1, len(queues)))
    order = [
        (queues[label][turn], label)
        for turn in range(turns)
        for label in sorted(queues)
        if turn < len(queues[label])
    ]
    samples = []
    for i, label in order[:MOST_IMAGES]:
        grey = data.features[i].flatten(0, -3).mean(0)  # (H, W)
        low, high = grey.min(), grey.max()
        scaled = ((grey - low) / (high - low).clamp(min=1e-9)).tolist()
        name = data.label_names[label] if label < len(data.label_names) else str(label)
        image: GreyImage = tuple(tuple(row) for row in scaled)
        samples.append((image, name))
    return Images(tuple(samples))


def _histograms(features: Tensor, names: tuple[str, ...]) -> Histograms:
    columns = []
    for i in range(min(MOST_COLUMNS, features.shape[1])):
        values = features[:, i].double()
        values = values[values.isfinite()]
        low, high = (values.min().item(), values.max().item()) if len(values) else (0.0, 0.0)
        counts = torch.histc(values, BINS, low, high) if high > low else torch.zeros(BINS)
        name = names[i] if i < len(names) else f"feature {i + 1}"
        columns.append((name, low, high, tuple(int(c) for c in counts.tolist())))
    return Histograms(tuple(columns))


def layers(recipe: Recipe, data: Dataset) -> tuple[LayerSummary, ...]:
    """The model's layers and, last, all of it.

    Two samples go through it: torch's meta device would compute nothing, but takes a second to
    load what it needs for that.

    Raises:
        RecipeError: the model can't be built.
    """
    shapes: dict[nn.Module, str] = {}

    def remember(module: nn.Module, _: Any, output: Any) -> None:
        while isinstance(output, tuple) and output:  # a recurrent layer gives its state as well
            output = output[0]
        if isinstance(output, Tensor):
            shapes[module] = _shape(output)

    model = build.make_model(recipe, data.features.shape[1:], data.outputs).eval()
    for module in model.modules():
        module.register_forward_hook(remember)
    with torch.no_grad():
        model(data.features[:2])  # (2, ...)
    rows: list[LayerSummary] = []
    for name, module in _parts("", model):
        count = sum(p.numel() for p in module.parameters())
        rows.append(LayerSummary(name, type(module).__name__, shapes.get(module, ""), count))
    total = sum(p.numel() for p in model.parameters())
    return (*_merged(rows), LayerSummary("total", "", shapes.get(model, ""), total))


def _parts(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Layers and blocks by name: containers are opened, blocks made of layers are not."""
    for child_name, child in module.named_children():
        path = f"{name}.{child_name}" if name else child_name
        if isinstance(child, (nn.Sequential, nn.ModuleList)):
            yield from _parts(path, child)
        else:
            yield path, child


def _merged(rows: list[LayerSummary]) -> list[LayerSummary]:
    """Equal blocks in a row as one."""
    merged: list[tuple[LayerSummary, int]] = []
    for row in rows:
        if merged and row.parameters:
            last, count = merged[-1]
            if (last.kind, last.shape, last.parameters) == (row.kind, row.shape, row.parameters):
                merged[-1] = (last, count + 1)
                continue
        merged.append((row, 1))
    return [
        row if n == 1 else LayerSummary(row.name, f"{row.kind} ×{n}", row.shape, row.parameters * n)
        for row, n in merged
    ]


def _shape(batch: Tensor) -> str:
    return "(" + ", ".join(["B", *(str(size) for size in batch.shape[1:])]) + ")"


def _device(recipe: Recipe) -> tuple[str, str]:
    try:
        return str(choose_device(recipe.device)), ""
    except ValueError as error:
        return "", str(error)


def _reason(error: Exception) -> str:
    if isinstance(error, RecipeError):
        return str(error)
    return first_line(error)[:300]
