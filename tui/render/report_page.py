"""A run as one HTML page that needs nothing else: plots, settings, events, verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from .charts import Mark
from .svg import SvgLine, svg_chart, text

COLOURS: Final = 6
STYLE: Final = """
:root { color-scheme: light dark; --ink: #1f2933; --muted: #5b6b7c; --ground: #fbfaf7;
  --panel: #f4f2ec; --edge: #c9c4b8; --good: #11713f; --warn: #7a5600; --bad: #b3202c;
  --c0: #0b62b8; --c1: #a34a00; --c2: #11713f; --c3: #b3202c; --c4: #1f2933; --c5: #5b6b7c; }
@media (prefers-color-scheme: dark) { :root { --ink: #d3dae3; --muted: #8b9db3;
  --ground: #0f1419; --panel: #141a21; --edge: #2f3b48; --good: #7fd1a8; --warn: #e5c07b;
  --bad: #ff7b85; --c0: #6cb6ff; --c1: #ffb454; --c2: #7fd1a8; --c3: #ff7b85; --c4: #d3dae3;
  --c5: #8b9db3; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 860px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { margin: 0 0 4px; font-size: 26px; overflow-wrap: anywhere; }
h2 { margin: 34px 0 10px; font-size: 18px; }
.state { margin: 0 0 18px; font-weight: 600; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); }
.muted, caption { color: var(--muted); }
table { width: 100%; border-collapse: collapse; }
th, td { padding: 4px 12px 4px 0; border-bottom: 1px solid var(--edge); text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--muted); font-weight: 500; white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code, td.code { font: 13px/1.5 ui-monospace, monospace; }
figure { margin: 14px 0 22px; padding: 12px; background: var(--panel);
  border: 1px solid var(--edge); border-radius: 6px; }
figcaption { display: flex; flex-wrap: wrap; gap: 4px 16px; margin-bottom: 6px; }
figcaption b { margin-right: auto; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--muted); font: 12px system-ui, sans-serif; }
svg .grid { stroke: var(--edge); stroke-width: 0.6; }
svg .axis { stroke: var(--muted); }
svg .mark { stroke: var(--muted); stroke-dasharray: 3 3; }
svg text.bad { fill: var(--bad); }
svg polyline { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
svg polyline.fine { stroke-width: 1; opacity: 0.85; }
svg polygon { stroke: none; opacity: 0.25; }
.verdict { margin: 0 0 12px; padding: 10px 14px; background: var(--panel);
  border-left: 4px solid var(--warn); }
.verdict.danger { border-color: var(--bad); } .verdict.note { border-color: var(--muted); }
.verdict p { margin: 0; }
""" + "".join(
    f"svg .c{n} {{ stroke: var(--c{n}); }} svg polygon.c{n}, svg circle.c{n}, .key.c{n} "
    f"{{ fill: var(--c{n}); color: var(--c{n}); }} "
    for n in range(COLOURS)
)
"""The program's own colours, dark or light as the reader has it."""


UNJUDGED: Final = (
    "not known: the run goes on, was ended from outside, or nobody has judged it at its end"
)


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart with its title."""

    title: str
    lines: tuple[SvgLine, ...]
    log: bool = False


@dataclass(frozen=True, slots=True)
class ReportPage:
    """What a page says. Texts are as they were found: they are made harmless here."""

    name: str
    state: str
    reason: str
    facts: Sequence[tuple[str, str]]
    plots: Sequence[Plot] = ()
    span: tuple[float, float] | None = None
    """The batches that each plot shows; None takes those that it has."""
    marks: Sequence[Mark] = ()
    verdicts: Sequence[Mapping[str, str]] | None = None
    """rule, severity, what, why, next of each; None where nobody has judged the run."""
    values: Sequence[Sequence[str]] = ()
    """Metric, best, at which batch, last."""
    settings: Sequence[tuple[str, str]] = ()
    environment: Sequence[tuple[str, str]] = ()
    events: Sequence[Sequence[str]] = field(default_factory=tuple)
    """When, at which batch, what kind, what, and who asked for it."""
    made: str = ""
    """Which version made the page, and when."""

    def html(self) -> str:
        """The whole page."""
        tone = {"finished": "good", "failed": "bad", "crashed": "bad"}.get(self.state, "warn")
        told = f"{self.state}: {self.reason}" if self.reason else self.state
        body = [
            f"<h1>{text(self.name)}</h1>",
            f'<p class="state {tone}">{text(told)}</p>',
            _pairs(self.facts),
            _section("Verdicts", self._verdicts()),
            _section("Curves", "".join(map(self._figure, self.plots))),
            _section(
                "Best and last", _table(("metric", "best", "at batch", "last"), self.values, 1)
            ),
            _section("Settings", _pairs(self.settings, code=True)),
            _section("Environment", _pairs(self.environment, code=True)),
            _section(
                "Events",
                _table(("when", "batch", "kind", "what", "asked by"), self.events)
                or '<p class="muted">none</p>',
            ),
            f'<p class="muted">{text(self.made)}</p>',
        ]
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            # Whatever a run's texts may hold, nothing is loaded and nothing runs.
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{text(self.name)}</title><style>{STYLE}</style></head>"
            f"<body><main>{''.join(body)}</main></body></html>\n"
        )

    def _verdicts(self) -> str:
        if self.verdicts is None:
            return f'<p class="muted">{UNJUDGED}</p>'
        return "".join(map(_verdict, self.verdicts)) or "<p>nothing was found to be wrong</p>"

    def _figure(self, plot: Plot) -> str:
        drawn = svg_chart(plot.title, plot.lines, self.marks, span=self.span, log=plot.log)
        if not drawn:
            return ""
        keys = "".join(
            f'<span class="key c{one.colour}">{"●" if one.points else "━"} {text(one.name)}</span>'
            for one in plot.lines
            if one.curve.x
        )
        scale = " (log)" if plot.log else ""
        caption = f"<b>{text(plot.title)}{scale}</b>{keys}"
        return f"<figure><figcaption>{caption}</figcaption>{drawn}</figure>"


def _verdict(found: Mapping[str, str]) -> str:
    severity = found.get("severity")
    known = severity if severity in ("note", "warning", "danger") else "warning"
    what, why, then = (text(str(found.get(key) or "")) for key in ("what", "why", "next"))
    return (
        f'<div class="verdict {known}"><p><b>{known}: {what}</b></p><p>{why}</p>'
        f"<p>To try: {then}</p></div>"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""


def _pairs(rows: Iterable[tuple[str, str]], *, code: bool = False) -> str:
    kind = ' class="code"' if code else ""
    cells = "".join(
        f'<tr><th scope="row">{text(key)}</th><td{kind}>{text(value)}</td></tr>'
        for key, value in rows
    )
    return f"<table>{cells}</table>" if cells else ""


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], numbers_from: int | None = None
) -> str:
    """A table with a head; the columns from `numbers_from` on hold numbers."""
    if not rows:
        return ""
    first = len(head) if numbers_from is None else numbers_from
    kinds = [' class="number"' if i >= first else "" for i in range(len(head))]
    top = "".join(f'<th scope="col">{text(one)}</th>' for one in head)
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{text(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
