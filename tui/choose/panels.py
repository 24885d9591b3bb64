"""What the choosing screen draws beside the form: the data, and the words around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual.content import Content

from ...core.protocol.steps import FIVE
from ...presets.catalogue import DATASETS, MODELS, DataKind
from ...presets.recipe import Recipe
from ..render.bars import bar
from ..render.format import clean, count, counted, fit, wrap
from ..render.glyphs import plain
from ..render.spans import EMPTY, Line, centred_rows, line, spread
from ..widgets.panel import Panel
from ..widgets.picture import PicturePanel
from .settings import DATASET, MODEL, Resolved

if TYPE_CHECKING:
    from ..render.data_pictures import LayerSummary, Preview

LOADING: Final = "loading torch …"
LOOKING: Final = "looking …"
PURPOSES: Final = (
    "Watch PyTorch train step by step: pick a run, see its five steps, pause, steer.",
    "Watch PyTorch train step by step: pick, pause, steer.",
    "Watch PyTorch train step by step.",
)
"""What the program is for, as long as fits."""
TO_COME: Final[dict[DataKind, str]] = {
    "points": "the points will be drawn here",
    "table": "how each column is spread will be drawn here",
    "images": "sample images will be shown here",
    "tokens": "the beginning of the text will be shown here",
}


OWN_FILE: Final = (
    "a Python file of yours. The parameters of its training() are the settings; data and model are "
    "known once it runs."
)


class Banner(Panel):
    """The top line: what the program is for, and how far torch is."""

    DEFAULT_CSS = "Banner { height: 1; background: $panel; }"
    torch = LOADING

    def lines(self, width: int, height: int) -> list[Line]:
        status = f"◐ {self.torch} " if self.torch == LOADING else f"{self.torch} "
        brand = (" fivestep ", "brand")
        room = width - len(brand[0]) - len(status) - 4
        purpose = next((text for text in PURPOSES if len(text) <= room), PURPOSES[-1])
        return [spread(line(brand, f"  {purpose}"), line((f" {status}", "dim")), width)]


class AboutPanel(Panel):
    """What the highlighted preset is, and what may be expected of it."""

    DEFAULT_CSS = "AboutPanel { padding: 0 2; }"
    resolved: Resolved | None = None
    original: Recipe | None = None
    """The recipe without edits."""

    def lines(self, width: int, height: int) -> list[Line]:
        if self.resolved is None:
            return []
        recipe = self.resolved.recipe
        if self.resolved.file:
            return [line(text) for text in wrap(clean(f"{self.resolved.name}: {OWN_FILE}"), width)]
        if recipe is None:
            return [line((text, "bad")) for text in wrap(clean(self.resolved.problem), width)]
        about = clean(recipe.description) or f"{recipe.model.name} on {recipe.dataset.name}"
        if recipe.expect is not None:
            promise = clean(recipe.expect.text)
        elif self.original is not None and self.original.expect is not None:
            promise = f"With its own settings: {clean(self.original.expect.text)}"
        else:
            promise = ""
        first = wrap(about, width)
        second = [line((text, "dim")) for text in wrap(promise, width)]
        if len(first) + len(second) <= height:
            return [*(line(text) for text in first), *second]
        return [line(text) for text in wrap(f"{about} {promise}", width)]


class StepsToCome(Panel):
    """The five steps by their code lines, and what each does as far as there is room."""

    DEFAULT_CSS = "StepsToCome { height: 1fr; }"
    BORDER_TITLE = "five steps for every batch"

    def lines(self, width: int, height: int) -> list[Line]:
        for sentences, gap in ((9, 1), (1, 1), (1, 0), (0, 1), (0, 0)):
            rows = self._steps(width, sentences, gap)
            if len(rows) <= height:
                return rows
        return rows

    def _steps(self, width: int, sentences: int, gap: int) -> list[Line]:
        rows: list[Line] = []
        for info in (step.info for step in FIVE):
            rows += [EMPTY] * gap if rows else []
            rows.append(line((f"{info.number} ", "bar"), (fit(info.code, width - 2), "bold")))
            why = ". ".join(info.why.removesuffix(".").split(". ")[:sentences])
            if why:
                rows += [line("  ", (t, "dim")) for t in wrap(f"{why}.", max(1, width - 2))]
        return rows


class DataPanel(PicturePanel):
    """The picture of the data."""

    DEFAULT_CSS = "DataPanel { width: 1fr; }"
    BORDER_TITLE = "data"
    recipe: Recipe | None = None
    """The one whose data is shown."""
    preview: Preview | None = None
    waiting = LOADING

    def lines(self, width: int, height: int) -> list[Line]:
        if self.recipe is None:
            self.set_title("data")
            return []
        name = self.recipe.dataset.name
        about = self.preview.about if self.preview is not None else DATASETS[name].about
        self.set_title(f"data: {name}")
        subtitle(self, about if len(about) <= width - 2 else "")
        if self.preview is None:
            return centred([self.waiting, TO_COME[DATASETS[name].kind]], width, height)
        if isinstance(self.preview.picture, str):
            return [line((text, "bad")) for text in wrap(clean(self.preview.picture), width)]
        from ..render.data_pictures import draw  # the first picture does without

        notes = [text for note in self.preview.notes for text in wrap(clean(note), max(1, width))]
        notes = notes[: max(0, height // 2)]
        room = height - len(notes)
        drawn = draw(self.preview.picture, width, room, ascii=self.ascii)
        picture = [EMPTY] * ((room - len(drawn)) // 2) + drawn
        return [*(line((text, "dim")) for text in notes), *picture]


def subtitle(panel: Panel, text: str) -> None:
    """Say something in the lower border, if it says something else."""
    text = plain(text) if panel.ascii else text
    if str(panel.border_subtitle or "") != text:
        # A plain string would be read as markup.
        panel.border_subtitle = Content(text)


def centred(texts: list[str], width: int, height: int) -> list[Line]:
    """Texts in the middle, for what is still to come."""
    rows = [row for text in texts for row in wrap(text, max(1, width))]
    pad = [EMPTY] * max(0, (height - len(rows)) // 2)
    return [*pad, *(r for t in rows for r in centred_rows([line((t, "dim"))], len(t), width))]


SHORTEST: Final = 7
"""Lines that a table of layers needs to be worth it."""


class LayersPanel(Panel):
    """The model, layer by layer, with what each gives and how much it can learn."""

    DEFAULT_CSS = "LayersPanel { width: 1fr; }"
    BORDER_TITLE = "model"
    resolved: Resolved | None = None
    preview: Preview | None = None
    waiting = LOADING

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
        size = parameters(self.resolved, self.preview)
        known = counted(size, "parameter") if size is not None else ""
        self.set_title(f"model: {name}")
        subtitle(self, known)
        if self.preview is None or not self.preview.layers:
            return centred([self.waiting, MODELS[name].about], width, height)
        if isinstance(self.preview.layers, str):
            return [line((text, "bad")) for text in wrap(clean(self.preview.layers), width)]
        if height < SHORTEST:
            return chain(self.preview.layers, width)
        subtitle(self, "")
        rows = table(self.preview.layers, self.preview.inputs, width, height)
        about = [line((text, "dim")) for text in wrap(MODELS[name].about, width)]
        return [*rows, EMPTY, *about] if len(rows) + 1 + len(about) <= height else rows


def parameters(resolved: Resolved, preview: Preview | None) -> int | None:
    """How many numbers the model can learn: counted, or else as the recipe says."""
    if preview is not None and preview.parameters is not None:
        return preview.parameters
    expect = resolved.recipe.expect if resolved.recipe is not None else None
    return expect.parameters if expect is not None else None


def chain(layers: tuple[LayerSummary, ...], width: int) -> list[Line]:
    """The layers that learn, one after the other, where there is no room for a table."""
    kinds = [clean(layer.kind) for layer in layers[:-1] if layer.parameters]
    return [line(text) for text in wrap(" → ".join(kinds), width)]


def table(layers: tuple[LayerSummary, ...], inputs: str, width: int, height: int) -> list[Line]:
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
        row(x.name, x.kind, x.shape, count(x.parameters or None), x.parameters / most) for x in rows
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


LAYOUT: Final = """
ChooseScreen {
    & #left { width: 39; }
    & #body, & #look { height: 1fr; }
    & #go { height: auto; min-height: 4; max-height: 9; }
    & #start { width: 22; height: 4; text-style: bold; }
    & #start.-ascii { border: none !important; padding-top: 1; }
    & #small { display: none; }
    & #about { height: 3; }
    &.-wide #left { width: 46; }
    &.-short Form { height: 11; }
    &.-narrow, &.-short {
        & #small { display: block; }
        & #data, & StepsToCome { display: none; }
    }
    &.-narrow {
        & #left { width: 27; }
        & #about { height: 4; }
        & #start { width: 13; min-width: 13; }
        & Form Vertical { width: 14; }
    }
    &.-tiny {
        & #left { width: 26; }
        & #presets { height: 1fr; max-height: 100%; }
        & #small, & #look, & #command { display: none; }
        & #about { height: 2; }
        & Form { height: 1fr; }
        & #go { min-height: 3; max-height: 3; }
        & #start { width: 1fr; height: 3; }
    }
}
"""


def layout_classes(width: int, height: int) -> dict[str, bool]:
    """The screen's classes for a window of so many cells, and whether each applies."""
    return {
        "-narrow": width < 112,
        "-wide": width >= 160,
        "-short": height < 30,
        "-tiny": width < 60 or height < 20,
    }
