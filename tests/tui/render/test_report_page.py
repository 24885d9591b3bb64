"""The page about a run: self-contained, and harmless whatever the run's texts hold."""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from kept import keep  # tests is on the path

from fivestep.core.comparison.numbers import Points
from fivestep.tui.render.charts import Mark
from fivestep.tui.render.svg import SvgLine, svg_chart

from ..conftest import Cli

HOSTILE = (
    '</style></title><script>alert(1)</script><img src="http://evil.example/x" onload=x>&\x1b]0;'
)
LOSSES = (0.8, 0.7, None, 0.5, 0.4, 0.3, 0.25, 0.2)


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def page(tmp_path: Path, cli: Cli) -> Path:
    """A run that failed, with hostile texts wherever one can be."""
    verdict = {"rule": "x", "severity": HOSTILE, "what": "dead units", "why": HOSTILE, "next": "y"}
    outcome = {"state": "failed", "reason": HOSTILE, "where": "epoch 2", "verdicts": [verdict]}
    change = {"type": "change", "time": 1.8e9, "epoch": 1, "batches_done": 3, "kind": "lr"}
    keep(
        tmp_path / "runs",
        "one",
        LOSSES,
        meta={"settings": {HOSTILE: HOSTILE}, "recipe": {HOSTILE: HOSTILE}, "cwd": HOSTILE},
        outcome=outcome,
        events=[change | {"text": f"lr ÷2 {HOSTILE}", "by": {"user": HOSTILE}}],
    )
    path = tmp_path / "one.html"
    assert "one.html is there" in cli("report", "one", "-o", str(path)).out
    return path


def test_a_page_tells_all_about_a_run_and_needs_nothing_else(page: Path) -> None:
    parsed = Page(page)
    assert parsed.open == []
    assert set(parsed.tags).isdisjoint({"script", "img", "link", "iframe", "object", "a", "base"})
    assert "script" not in {name for name, _ in parsed.attributes}
    for name, value in parsed.attributes:
        assert name not in ("src", "href", "style", "xlink:href")
        assert not name.startswith("on")
        assert "evil" not in value or name == "aria-label"
    style = page.read_text(encoding="utf-8").partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style
    text = " ".join(parsed.texts)
    for told in ("dead units", "<script>alert(1)</script>", "Verdicts", "Events", "Settings"):
        assert told in text
    assert "\x1b" not in page.read_text(encoding="utf-8")
    assert parsed.tags.count("svg") >= 3  # losses, accuracy, learning rate


def test_an_existing_file_is_replaced_only_where_that_is_said(page: Path, cli: Cli) -> None:
    before = page.read_bytes()
    told = cli.refused("report", "one", "-o", str(page))
    assert "--overwrite replaces it" in told
    page.write_text("other")
    cli("report", "one", "-o", str(page), "--overwrite")
    assert len(page.read_bytes()) == len(before)
    assert "can't be written" in cli.refused("report", "one", "-o", str(page.parent / "no" / "x"))
    assert "there is no run zzz" in cli.refused("report", "zzz")


def test_charts_are_well_formed_whatever_their_values() -> None:
    points = Points()
    for i, value in enumerate((1.0, float("nan"), 1e-300, 1e300, -5.0, None, 2.0), 1):
        points.add(i, value, span=(value, value))
    marks = [Mark(3.0, HOSTILE), Mark(1e9, "outside")]
    for log in (False, True):
        lines = [
            SvgLine("loss", points.curve("batches")),
            SvgLine("none", Points().curve("epochs")),
        ]
        svg = ElementTree.fromstring(svg_chart(HOSTILE, lines, marks, log=log))
        shown = "".join(svg.itertext())
        assert shown.count("✗") == 2
        assert ("outside" in shown, "nan" in ElementTree.tostring(svg).decode().lower()) == (
            False,
            False,
        )
    assert svg_chart("x", [SvgLine("none", Points().curve("batches"))]) == ""


def test_what_was_wrong_with_a_run_is_kept_with_it(cli: Cli, tmp_path: Path) -> None:
    cli("train", "line-linear", "--no-ui", "--quiet", "--name", "flat", "--break-it", "no-backward")
    kept = json.loads((tmp_path / "runs" / "flat" / "outcome.json").read_text())["verdicts"]
    assert kept
    assert kept[0]["what"] in cli("runs", "show", "flat").out
    cli("report", "flat", "-o", str(tmp_path / "flat.html"))
    assert kept[0]["what"] in " ".join(Page(tmp_path / "flat.html").texts)


@pytest.mark.slow
def test_a_browser_shows_the_page_and_loads_nothing(page: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium")
    words = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
    ]
    net = tmp_path / "net.json"
    shown = subprocess.run(
        [*words, f"--log-net-log={net}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "<h1>one</h1>" in shown.stdout
    assert "<script>" not in shown.stdout
    assert "evil.example" not in net.read_text()
