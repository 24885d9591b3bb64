"""Verdicts while a run goes on without a screen: each rule speaks once."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

from ...core.verdicts.verdicts import Verdict, judge

if TYPE_CHECKING:
    from ...core.protocol.snapshot import RunInfo, Snapshot
    from ...core.session.session import Session

SPACING: Final = 2.0
"""Seconds between two looks at a run."""


class VerdictWatch:
    """Looks at a run now and then, and gives the verdicts that are new."""

    def __init__(self) -> None:
        self._due = perf_counter() + SPACING
        self._told: set[str] = set()

    def look(self, session: Session) -> tuple[Snapshot | None, tuple[Verdict, ...]]:
        """The newest picture, and what is newly wrong with the run; to be called often.

        Only a picture with curves can be judged: it is asked for when one is due, and comes with
        a later call.
        """
        due = perf_counter() >= self._due
        picture = session.latest(curves=due)
        if not due or picture is None:
            return picture, ()
        return picture, self.judge(session.info, picture)

    def judge(self, info: RunInfo, picture: Snapshot) -> tuple[Verdict, ...]:
        """The verdicts on a picture that were not told before."""
        if picture.facts is None:
            return ()
        self._due = perf_counter() + SPACING
        found = judge(info, picture, picture.facts)
        new = tuple(verdict for verdict in found if verdict.rule not in self._told)
        self._told |= {verdict.rule for verdict in new}
        return new
