"""What the choosing screen learns of a data set by looking at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fivestep.presets.data import download
from fivestep.presets.recipe import load
from fivestep.tui.choose.inspect_data import DataInspector
from fivestep.tui.choose.panels import DataPanel
from fivestep.tui.render.data_pictures import Histograms

from ..conftest import texts


def test_a_table_is_seen_column_by_column() -> None:
    seen = DataInspector().preview(load("iris-mlp"))
    assert isinstance(seen.picture, Histograms)
    names = [name for name, *_ in seen.picture.columns]
    assert names == ["sepal length", "sepal width", "petal length", "petal width"]
    assert all(sum(counts) == 90 for *_, counts in seen.picture.columns)


def test_nothing_is_downloaded_only_to_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(download.FOLDER, str(tmp_path))
    seen = DataInspector().preview(load("mnist-cnn"))
    assert seen.picture == "mnist: 12 MB will be downloaded when it is started"
    assert seen.layers == "known once the data is there"
    assert not list(tmp_path.iterdir())


def test_how_a_table_is_read_is_said_above_its_picture(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("a;b\n" + "\n".join(f"{i},5;{i},25" for i in range(9)))
    recipe = load("iris-mlp", {"dataset.name": "csv", "dataset.path": str(file)})
    panel = DataPanel()
    panel.recipe, panel.preview = recipe, DataInspector().preview(recipe)
    first, second, *_ = texts(panel.lines(50, 12))
    assert first == 'columns are separated by ";"'
    assert second == 'a, b read as numbers (decimal ",")'


def test_a_recurrent_layer_shows_the_shape_of_its_output() -> None:
    layers = DataInspector().preview(load("docs-lstm")).layers
    shapes = {layer.kind: layer.shape for layer in layers}
    assert shapes["LSTM"] == "(B, 64, 128)"
