"""Bars: their width, and that nothing above zero vanishes."""

from __future__ import annotations

import math

import pytest

from fivestep.tui.render.bars import bar


@pytest.mark.parametrize("cells", [0, 1, 2, 7, 80, 200])
def test_a_bar_has_its_width_and_shows_a_sliver_of_anything(cells: int) -> None:
    for share in (-1.0, 0.0, 1e-9, 0.33, 1.0, 7.0, math.nan, math.inf):
        assert len(bar(share, cells)) == cells
    if cells:
        assert bar(0.0, cells).strip() == ""
        assert bar(1e-9, cells)[0] == "╸"
        assert bar(1.0, cells) == "━" * cells
