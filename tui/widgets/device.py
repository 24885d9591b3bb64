"""What the machine is doing. What can't be read is left out, never invented."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..render.bars import track
from ..render.format import clean, fit, percent, size
from ..render.spans import Line, line
from .numbers import words
from .panel import RunPanel

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...core.protocol.device_reading import DeviceReading

LABEL = 8
EVERY = 1.0
"""Seconds between two readings of the device."""


class DevicePanel(RunPanel):
    """Name, use, memory and GPU; a single line where there is room for no more."""

    BORDER_TITLE = "device"
    WEIGHT = "quiet"
    reading: DeviceReading | None = None
    saved = ""
    """How old the newest checkpoint is; shown in the single line."""
    _due = float("-inf")

    def look(
        self, read: Callable[[], DeviceReading | None], now: float, *, moving: bool, turned: bool
    ) -> None:
        """Read the device while the run moves, and once more a moment after it came to rest."""
        title = "device"
        if self.snapshot is not None and not moving:
            title += ", at the end" if self.snapshot.state.ended else ", at the pause"
        self.set_title(title)
        if turned and not moving:
            self._due = now + EVERY
        if now >= self._due or self.reading is None:
            reading = read()
            if reading is not None:  # another process may have yet to tell
                self.take(reading)
                self.redraw()
            self._due = now + EVERY if moving else float("inf")
        elif moving and self._due == float("inf"):
            self._due = now + EVERY

    def take(self, reading: DeviceReading) -> None:
        """A new reading; a GPU needs more rows."""
        self.reading = reading
        self.set_class(reading.gpu_name is not None, "-gpu")

    def lines(self, width: int, height: int) -> list[Line]:
        if height == 1:
            return [self._single(width)]
        r = self.reading
        length = max(0, min(40, width - LABEL - 32))
        threads = f"{self.info.threads} torch thread" + "s" * (self.info.threads != 1)
        name = clean(r.name if r else self.info.device)
        gpu = "" if r is None or r.gpu_name else ", no gpu in use"
        amp = f", {self.info.amp}" if self.info.amp else ""
        about = (f", {threads}{amp}{gpu}", "dim")
        rows = [line((fit("runs on", LABEL), "dim"), (name, "bold"), about)]
        if r is not None:
            rows += self._cpu(r, length)
            rows += self._gpu(r, length)
            extra = [f"{r.temperature:.0f} °C"] if r.temperature is not None else []
            extra += [f"{r.power:.0f} W"] if r.power is not None else []
            if extra:
                rows.append(line((fit("sensors", LABEL), "dim"), "   ".join(extra)))
        return [*rows, *self._cost()]

    def _cpu(self, r: DeviceReading, length: int) -> list[Line]:
        rows = []
        if r.cpu_percent is not None:
            cores = f"of {r.cores} core" + "s" * (r.cores != 1) if r.cores else ""
            load = f"   load {r.load:.1f}" if r.load is not None else ""
            rows.append(_gauge("cpu", r.cpu_percent / 100, length, cores + load))
        return rows + _memory("memory", r.memory_used, r.memory_total, length)

    def _gpu(self, r: DeviceReading, length: int) -> list[Line]:
        if r.gpu_name is None:
            return []
        rows = [line((fit("gpu", LABEL), "dim"), clean(r.gpu_name))]
        if r.gpu_percent is not None:
            rows.append(_gauge("  use", r.gpu_percent / 100, length, ""))
        return rows + _memory("  memory", r.gpu_memory_used, r.gpu_memory_total, length)

    def _cost(self) -> list[Line]:
        cost = self.snapshot.watching if self.snapshot else None
        if cost is None:
            return []
        return [line((f"watching costs {percent(cost, 1)} of the run's time", "dim"))]

    def _single(self, cells: int) -> Line:
        r = self.reading
        parts = [("on", clean(r.name if r else self.info.device))]
        if r is not None:
            if r.cpu_percent is not None:
                parts.append(("cpu", f"{r.cpu_percent:3.0f} %"))
            if r.memory_used is not None:
                parts.append(("memory", size(r.memory_used)))
            if r.gpu_percent is not None:
                parts.append(("gpu", f"{r.gpu_percent:3.0f} %"))
            if r.gpu_memory_used is not None:
                parts.append(("gpu memory", size(r.gpu_memory_used)))
        if self.saved:
            parts.append(("saved", fit(self.saved, 10)))
        cost = self.snapshot.watching if self.snapshot else None
        if cost is not None:
            parts.append(("watching costs", percent(cost, 1)))
        return words(parts, cells)


def _memory(name: str, used: int | None, total: int | None, length: int) -> list[Line]:
    if used is None:
        return []
    note = f"of {size(total)}" if total else ""
    return [_gauge(name, used / total if total else None, length, note, size(used))]


def _gauge(name: str, share: float | None, length: int, note: str, value: str = "") -> Line:
    """A name, a bar on a thin line, the value, and a note."""
    return line(
        (fit(name, LABEL), "dim"),
        *track(share or 0.0, length),
        fit(value or percent(share), 9, right=True),
        (f" {note}", "dim"),
    )
