"""What the loop has in its hands, as lines: the batch's samples, the parameters, the epochs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ...core.protocol.at_hand import (
    AtHand,
    BatchContent,
    BatchTensor,
    EpochTable,
    Formula,
    ParameterRow,
    ParameterTable,
)
from .data_pictures import Images, image_grid
from .format import (
    NOTHING,
    clean,
    count,
    counted,
    fit,
    metric,
    number,
    percent,
    short_exponent,
    wrap,
)
from .spans import EMPTY, Line, Span, line

NAME: Final = 9
CELL: Final = 9
"""Cells of a number in a table."""
SAMPLE: Final = 3
"""Rows that a sample needs: names of columns, its values, how many more there are."""
INDENT: Final = "  "


def at_hand(content: AtHand, width: int, height: int, *, ascii: bool = False) -> list[Line]:
    """All lines, as many as there are; pictures are drawn to fit into `height`."""
    match content:
        case BatchContent():
            return batch(content, width, height, ascii=ascii)
        case ParameterTable():
            return list(parameters(content, width))
        case EpochTable():
            return epochs(content)


def scrolled(rows: list[Line], height: int, first: int) -> list[Line]:
    """The rows that have room, the first one always, below it from number `first` on."""
    if len(rows) <= height or height < 3:
        return rows[:height]
    head, *body = rows
    room = height - 2
    left = len(body) - first - room
    more = [f"{first} above"] * (first > 0) + [f"{left} below"] * (left > 0)
    told = line((f"… {' and '.join(more)}: PgUp PgDn", "dim"))
    return [head, *body[first : first + room], told]


def last_row(rows: list[Line], height: int) -> int:
    """The last number that `scrolled` may begin at."""
    return max(0, len(rows) + 1 - height)


def batch(content: BatchContent, width: int, height: int, *, ascii: bool = False) -> list[Line]:
    """Types and shapes, the loss and how it came about, the first samples."""
    place = f"batch {count(content.batch)} of epoch {count(content.epoch)}"
    told = f"{place}: {counted(content.samples, 'sample')}" if content.tensors else "no batch yet"
    rows = [line((told, "bold"))]
    known = {tensor.name for tensor in content.tensors}
    for name in ("features", "labels", "outputs"):
        if not any(one.startswith(name) for one in known):
            verb = "computed" if name == "outputs" else "fetched"
            why = f"none: {content.ended}" if content.ended else f"not {verb} yet"
            rows.append(line((fit(name, NAME), "dim"), (f"{NOTHING} {why}", "dim")))
        rows += [
            line((fit(clean(t.name), max(NAME, len(t.name) + 1)), "dim"), clean(t.told))
            for t in content.tensors
            if t.name.startswith(name)
        ]
    rows += [
        line((fit("" if i else "loss", NAME), "dim"), text)
        for i, text in enumerate(wrap(_loss(content), max(1, width - NAME)))
    ]
    if content.images:
        captions = [_caption(content, i) for i in range(len(content.images))]
        images = Images(tuple(zip(content.images, captions, strict=True)))
        return [*rows, EMPTY, *image_grid(images, width, height - len(rows) - 1, ascii=ascii)]
    samples = list(_texts(content, width) if content.texts else _samples(content, width))
    if len(rows) + 1 + len(samples) <= height or len(rows) + 1 + SAMPLE <= height:
        return [*rows, EMPTY, *samples]
    first = max(1, height - SAMPLE)  # what else was to stand above a sample comes after all
    return [*rows[:first], *samples, *rows[first:]]


def _loss(content: BatchContent) -> str:
    name = clean(content.criterion)
    if content.loss is None and content.ended:
        return f"{NOTHING} none: {content.ended}; the criterion is {name}"
    if content.loss is None:
        return f"{NOTHING} not computed yet; the criterion is {name}"
    text = f"{number(content.loss)} by {name}"
    if content.average is None:
        return text
    of = f"the {counted(content.samples, 'sample')}' own losses"
    if abs(content.average - content.loss) <= 1e-3 * abs(content.loss) + 1e-6:
        return f"{text}: the average of {of}"
    return f"{text}: a weighted average of {of} (the plain one is {number(content.average)})"


def _caption(content: BatchContent, i: int) -> str:
    label = content.labels[i] if i < len(content.labels) else ""
    if i >= len(content.predicted):
        return label
    guess, _ = content.predicted[i]
    return f"✔ {guess}" if guess == label else f"✗ {guess}, is {label}"


def _texts(content: BatchContent, width: int) -> Iterator[Line]:
    for features, labels in content.texts:
        for name, text in (("features", features), ("labels", labels)):
            shown = clean(text.replace("\n", "↵"))
            yield line((fit(name, NAME), "dim"), fit(shown, max(1, width - NAME)).rstrip())


def _samples(content: BatchContent, width: int) -> Iterator[Line]:
    """A row for each of the first samples: its features, label, output and loss."""
    first: dict[str, BatchTensor] = {}
    for tensor in content.tensors:
        first.setdefault(tensor.name.split("[")[0].split(".")[0], tensor)
    features, labels, outputs = map(first.get, ("features", "labels", "outputs"))
    told: list[tuple[str, Sequence[str]]] = []
    if content.labels:
        told.append(("label", content.labels))
    elif labels is not None and labels.rows:
        told.append(("label", [_numbers(row, labels.numbers) for row in labels.rows]))
    if content.predicted:
        told.append(("predicted", [f"{name} {percent(p)}" for name, p in content.predicted]))
    elif outputs is not None and outputs.rows:
        told.append(("output", [_numbers(row, outputs.numbers) for row in outputs.rows]))
    if content.losses:
        told.append(("loss", [number(loss) for loss in content.losses]))
    cells = [max(len(head), *map(len, column)) + 2 for head, column in told]
    rows = features.rows if features is not None else ()
    room = max(0, width - 4 - sum(cells)) // (CELL + 1)
    numbers = features.numbers if features is not None else 0
    many = min(room, numbers, len(rows[0]) if rows else 0)
    heads = [*content.columns[:many], *(f"x{i}" for i in range(len(content.columns), many))]
    head = "".join(fit(clean(name), CELL, right=True) + " " for name in heads)
    head += "".join(
        fit(name, size, right=True) for (name, _), size in zip(told, cells, strict=True)
    )
    yield line((f"{'':4}{head}", "dim"))
    for i in range(max([len(rows), *(len(column) for _, column in told)])):
        values = rows[i][:many] if i < len(rows) else ()
        texts = [clean(column[i]) if i < len(column) else "" for _, column in told]
        yield line(
            (f"{i + 1:>3} ", "dim"),
            "".join(fit(number(value), CELL, right=True) + " " for value in values),
            "".join(fit(text, size, right=True) for text, size in zip(texts, cells, strict=True)),
        )
    if numbers > many > 0:
        yield line((f"and {counted(numbers - many, 'feature')} more in each", "dim"))


def _numbers(row: Sequence[float], numbers: int) -> str:
    shown = " ".join(map(number, row[:3]))
    return shown if numbers <= len(row[:3]) else f"{shown} …"


def parameters(table: ParameterTable, width: int) -> Iterator[Line]:
    """A row for each parameter; beneath those of a few numbers, these and their last update."""
    names = min(max(9, 0, *(len(row.name) for row in table.rows)), max(9, width - 30))
    yield line(
        (f"{fit('parameter', names)} {'shape':>10}{'norm':>{CELL}}{'gradient':>{CELL}}", "dim")
    )
    for row in table.rows:
        shape = "x".join(map(str, row.shape)) or "1"
        gradient = "None" if row.grad_norm is None else number(row.grad_norm)
        yield line(
            (fit(clean(row.name), names), "bold"),
            (f" {fit(shape, 10, right=True)}", "dim"),
            fit(number(row.norm), CELL, right=True),
            (fit(gradient, CELL, right=True), "dim" if row.grad_norm is None else "train"),
        )
        if row.why:
            yield from _wrapped(row.why, width, "warn")
        yield from _numbers_of(row, width, table)
    if table.note:
        yield from _wrapped(table.note, width, "dim")


def _numbers_of(row: ParameterRow, width: int, table: ParameterTable) -> Iterator[Line]:
    if row.values:
        yield from _wrapped(f"w         {' '.join(map(figure, row.values))}", width)
        grads = " ".join(map(figure, row.grads)) or "None"
        yield from _wrapped(f"gradient  {grads}", width, "train" if row.grads else "dim")
    for formula in row.added:
        yield from _wrapped(f"{written(formula)}, added up", width, "warn")
    if row.update:
        yield line((f"{INDENT}{clean(table.optimizer)} in batch {count(table.updated)}:", "dim"))
    whole = True
    for formula in row.update:
        last = formula.name.startswith("w")
        if whole or last:  # of several numbers the first one's way is told in full
            yield from _wrapped(f"{INDENT}{written(formula)}", width, "good" if last else "")
        whole = whole and not last


def written(formula: Formula) -> str:
    """A formula as people write it."""
    parts = [part if isinstance(part, str) else figure(part) for part in formula.parts]
    for i, part in enumerate(formula.parts):
        if part == "²" and parts[i - 1].startswith("-"):
            parts[i - 1] = f"({parts[i - 1]})"
    left = (
        " ".join(parts).replace("( ", "(").replace(" )", ")").replace("√ ", "√").replace(" ²", "²")
    )
    left = left.replace(" ^", "^")
    equals = "= " if left and not formula.name.startswith(("w", "gradient")) else ""
    return " ".join(filter(None, (formula.name, equals + left, "=", figure(formula.result))))


def figure(value: float) -> str:
    """Five significant digits, none of them a trailing 0: "2.0428", "0.1", "1e-8"."""
    text = f"{value:.5g}"
    return short_exponent(text) if "e" in text else text


def _wrapped(text: str, width: int, style: str = "") -> Iterator[Line]:
    for i, row in enumerate(wrap(clean(text).strip(), max(1, width - 2 * len(INDENT)))):
        yield line(INDENT * (1 + (i > 0)), (row, style))


def epochs(table: EpochTable) -> list[Line]:
    """A row for each epoch, the newest first: average loss, validation, metric, seconds."""
    if not table.rows:
        return [line(("no epoch is finished yet", "dim"))]
    name = fit(clean(table.metric), 11, right=True)
    rows = [line((f"epoch train loss    val loss{name} seconds", "dim"))]
    older = [*table.rows[-2::-1], None]
    for row, old in zip(reversed(table.rows), older, strict=True):
        way: Span = ("  ", "")
        if old is not None:
            way = (" ↓", "good") if row.train_loss < old.train_loss else (" ↑", "warn")
        rows.append(
            line(
                f"{count(row.epoch):>5}",
                (fit(number(row.train_loss), 11, right=True), "bold"),
                way,
                fit(number(row.val_loss), 10, right=True),
                fit(metric(table.metric, row.val_metric), 11, right=True),
                (f"{row.seconds:>8.2f}", "dim"),
            )
        )
    return rows
