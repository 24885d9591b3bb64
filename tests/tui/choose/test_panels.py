"""The panels beside the form."""

from __future__ import annotations

import pytest

from fivestep.tui.choose.panels import table
from fivestep.tui.render.data_pictures import LayerSummary

from ..conftest import texts

LAYERS = (
    *(LayerSummary(str(i), "Linear", "(B, 64)", 4160) for i in range(20)),
    LayerSummary("total", "", "(B, 10)", 83_200),
)


@pytest.mark.parametrize("wide", [24, 36, 40, 75, 120])
@pytest.mark.parametrize("high", [7, 12, 30])
def test_a_table_of_layers_shows_the_total_whatever_has_to_go(wide: int, high: int) -> None:
    drawn = texts(table(LAYERS, "(B, 64)", wide, high))
    assert len(drawn) <= high
    assert "83,200" in drawn[-1]
    assert ("… " in "".join(drawn)) == (high < 23)
