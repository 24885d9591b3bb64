"""The model on the choosing screen: its layers, and how much each can learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from ...presets.catalogue import MODELS
from ..render.format import clean, count, fit, wrap
from ..render.spans import Line, line
from ..widgets.panel import Panel, styles
from .panels import LOADING, centred, subtitle
from .settings import DATASET, MODEL, Resolved

if TYPE_CHECKING:
    from ..render.look import Layer, Look

SHORTEST: Final = 7
"""Lines that a table of layers needs to be worth it."""


class LayersPanel(Panel, inherit_component_classes=False):
    """The model, layer by layer, with what each gives and how much it can learn."""

    COMPONENT_CLASSES: ClassVar[set[str]] = styles("bar", "bold", "dim")
    DEFAULT_CSS = "LayersPanel { width: 1fr; }"

    def __init__(self, *, id: str | None = None, ascii: bool = False) -> None:
        super().__init__(id=id, title="model", ascii=ascii)
        self.resolved: Resolved | None = None
        self.look: Look | None = None
        self.waiting = LOADING

    def lines(self, width: int, height: int) -> list[Line]:
        recipe = self.resolved.recipe if self.resolved is not None else None
        if self.resolved is None or recipe is None:
            self.set_title("model")
            return []
        errors = self.resolved.errors
        misfit = errors.get(MODEL) or errors.get(DATASET)
        if misfit:
            self.set_title("model")
            subtitle(self, "")
            return [line((text, "bad")) for text in wrap(f"✗ {clean(misfit)}", width)]
        name = recipe.model.name
        size = parameters(self.resolved, self.look)
        known = f"{count(size)} parameters" if size is not None else ""
        self.set_title(f"model: {name}")
        subtitle(self, known)
        if self.look is None or not self.look.layers:
            return centred([self.waiting, MODELS[name].about], width, height)
        if isinstance(self.look.layers, str):
            return [line((text, "bad")) for text in wrap(clean(self.look.layers), width)]
        if height < SHORTEST:
            return chain(self.look.layers, width)
        subtitle(self, "")
        return table(self.look.layers, self.look.inputs, width, height)


def parameters(resolved: Resolved, look: Look | None) -> int | None:
    """How many numbers the model can learn: counted, or else as the recipe says."""
    if look is not None and look.parameters is not None:
        return look.parameters
    expect = resolved.recipe.expect if resolved.recipe is not None else None
    return expect.parameters if expect is not None else None


def chain(layers: tuple[Layer, ...], width: int) -> list[Line]:
    """The layers that learn, one after the other, where there is no room for a table."""
    kinds = [clean(layer.kind) for layer in layers[:-1] if layer.parameters]
    return [line(text) for text in wrap(" → ".join(kinds), width)]


def table(layers: tuple[Layer, ...], inputs: str, width: int, height: int) -> list[Line]:
    """The layers in columns; where there is no room for all, those in the middle are left out."""
    *rows, total = layers
    names = min(14, max((len(row.name) for row in rows), default=0) + 1)
    kinds = max(len(row.kind) for row in layers) + 1
    shapes = max(len(inputs), *(len(row.shape) for row in layers)) + 1
    numbers = max(10, len(count(total.parameters)) + 1)
    spare = width - names - kinds - shapes - numbers
    if spare < 0:
        names = 0  # the kind says more than a number
        if width - kinds - shapes < numbers:
            numbers = max(7, len(count(total.parameters)) + 1)
        kinds = max(8, min(kinds, width - shapes - numbers))
        spare = width - kinds - shapes - numbers
    from ..render.charts import bar  # the first picture does without

    bars = min(24, spare - 2) if spare >= 10 else 0
    gaps = max(0, min(4, (spare - bars - (2 if bars else 0)) // 3))
    kinds, shapes = kinds + gaps, shapes + gaps

    def row(
        name: str, kind: str, shape: str, number: str, share: float = 0.0, style: str = ""
    ) -> Line:
        return line(
            (fit(clean(name), names), "dim"),
            (fit(clean(kind), kinds), style),
            (fit(shape, shapes), style or "dim"),
            (fit(number, numbers, right=True), style),
            ("  " + bar(share, bars) if bars else "", "bar"),
        )

    most = max((layer.parameters for layer in rows), default=0) or 1
    drawn = [
        row(
            x.name,
            x.kind,
            x.shape,
            count(x.parameters or None),
            x.parameters / most,
        )
        for x in rows
    ]
    head = [
        row("", "layer", "output", "parameters" if numbers >= 10 else "params", style="dim"),
        row("", "input", inputs, ""),
    ]
    foot = [row("", "total", total.shape, count(total.parameters), style="bold")]
    room = height - len(head) - len(foot)
    if len(drawn) > room:
        first, last = max(0, room - 1) // 2, max(0, room - 1) - max(0, room - 1) // 2
        gone = line((f"{' ' * names}… {len(drawn) - first - last} more", "dim"))
        drawn = [*drawn[:first], gone, *drawn[len(drawn) - last :]] if room > 0 else []
    return [*head, *drawn, *foot][:height]
