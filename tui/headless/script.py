"""What `fivestep run` does in the script's own process, from its import of torch on."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
import torch

from ...core.foreign.learner import Learner
from ...core.foreign.script import ScriptLoop
from ...core.storage.files import refusal
from ..setup.loop_run import loop_known, loop_name, serve_loop
from ..setup.script import ScriptOptions
from ..terminal.live_line import heard
from ..terminal.output import BROKE
from .loop_lines import LoopLines
from .loop_records import PLACE, LoopRecords

SEEN: Final = 5
"""Batches after which no module will be found any more, where none was."""
MARK: Final = "fivestep: "
"""Before each line of ours: others on stderr are the script's."""


def watch_script(asked: str, leave_with: list[int]) -> None:
    """Watch what this process trains, until it ends.

    Of several processes that train one model together the first one is watched.

    Args:
        asked: `ScriptOptions` as JSON.
        leave_with: takes the exit code, where it is to be another one than the script's.

    Raises:
        msgspec.MsgspecError: that is none.
    """
    if os.environ.get("RANK", "0") == "0":
        options = msgspec.json.decode(asked, type=ScriptOptions)
        script = WatchedScript(options)
        script.install()
        script.steering.stops_on_break = options.lines
        script.steering.breakpoints.set(options.breakpoints)
        atexit.register(script.leave, leave_with)


class WatchedScript(ScriptLoop):
    """A script that is kept, served, and told of in lines on stderr if nobody has a screen for it.

    All of that begins with its first optimizer: until then it may be no training at all.
    """

    def __init__(self, options: ScriptOptions) -> None:
        out = None
        if options.lines:
            out = open(os.dup(2), "w", encoding="utf-8", errors="replace")  # noqa: SIM115, PTH123
        self.lines = LoopLines(
            out,
            mark="\r\x1b[K" + MARK if out is not None and out.isatty() else MARK,
            save=options.name or options.keeps,
            runs_dir=options.folder,
            command=options.command,
        )
        self._guard = ExitStack()
        if out is not None and not out.isatty():
            self._guard.enter_context(heard(sys.stderr, self.lines.hear))
        super().__init__(self.lines, self._trouble, self._told)
        self.name = loop_name()
        self._options, self._process = options, os.getpid()
        self._introduced = False
        self._records: LoopRecords | None = None

    def _learn(self, optimizer: Any) -> Learner:
        learner, options = super()._learn(optimizer), self._options
        if not self.lines.under_way and self._is_first():
            self.lines.begin(self)
            if self.lines.kept is None and options.keeps and not options.lines:
                self._trouble(f"nothing is kept: {options.folder} can't be written")
            self._write_records()
            serve_loop(self, self.lines.kept, self._answers_at)
        return learner

    def _trouble(self, text: str) -> None:
        """Say it among what the script prints, where there is a screen."""
        if self._options.lines:
            self.lines.say(text)
        else:
            with suppress(Exception):
                print(MARK + text, file=sys.stderr)

    def _is_first(self) -> bool:
        """Whether this is the first of the processes that train together."""
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        if not several or torch.distributed.get_rank() == 0:
            return True
        if self._hooks is not None:
            self._hooks.over = True
        return False

    def _write_records(self) -> None:
        """From now on, if that is asked for; where the file can't be opened, say so instead."""
        place, kept = self._options.records, self.lines.kept
        if place == "" and kept is not None:
            place = str(kept.directory.path / PLACE)
        if not place:
            return
        try:
            self._records = LoopRecords(self, Path(place), kept, self.lines.say)
        except OSError as error:
            self.lines.say(f"no records are written, {place}: {refusal(error)}")
            return
        self._record.listen(self._records)
        self.lines.say(f"records in {place}")

    def _answers_at(self, address: str) -> None:
        """Let the screen know that has started the script. It takes the first one to come."""
        if self._options.meet:
            with suppress(FileExistsError):
                Path(self._options.meet).symlink_to(address)

    def _told(self) -> None:
        """A batch is over, or one of a validation."""
        done = self.progress.batches_done
        if not self._introduced and done and (self.models or done == SEEN):
            self._introduced, self._info = True, None
            self.lines.introduce()
            loop_known(self, self.lines.kept)
        self.lines.draw()

    def leave(self, leave_with: list[int]) -> None:
        """The script has ended."""
        if os.getpid() != self._process:  # a fork of it has
            return
        error = getattr(sys, "last_value", None)
        # A second Ctrl+C must not keep from being written down what the first one has ended.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.finish(error)
        if before is not None:
            signal.signal(signal.SIGINT, before)
        if self.steering.report is not None and not isinstance(error, Exception):
            leave_with.append(BROKE)

    def _over(self) -> None:
        if self._records is not None:
            self._records.finish()
        if (report := self.steering.report) is not None:
            values = report.values_text or "true"
            self.lines.say(f"breakpoint {report.condition}: {values} at {report.where}")
        if self.lines.under_way:
            self.lines.end()
        self._guard.close()
