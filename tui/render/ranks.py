"""The ranks of a run: a row for each, who waits for whom, and which one holds the others up."""

from __future__ import annotations

from typing import Final

from ...core.protocol.rank_times import ORDER, RankNow, RankTimes, shown, slowest
from ...core.protocol.steps import Step
from .format import ago, clean, count, fit, percent, short_time, wrap
from .spans import Line, line

WORTH_TELLING: Final = 0.05
"""Share of a rank's time from which on its waiting is worth a sentence."""
HELD_UP: Final = 12.0
"""Seconds in one step after which something is said of ranks none of which moves."""
A_WHILE: Final = 1.0
"""Seconds in one step from which on they are shown."""
NUMBER, PER_BATCH, SHARE = 6, 10, 7
"""Cells of a rank's number, of a time and of a share."""


def table(times: tuple[RankTimes, ...], width: int) -> list[Line]:
    """A row for each rank that is worth one, below what the columns are."""
    rows = shown(times)
    step = max(0, width - NUMBER - PER_BATCH - 2 * SHARE)
    heads = (fit("per batch", PER_BATCH, right=True), fit("data", SHARE, right=True))
    many = f"rank, {len(rows)} of {len(times)}" if len(rows) < len(times) else "rank  now"
    head = fit(many, NUMBER + step) + "".join(heads) + fit("others", SHARE, right=True)
    last = slowest(times)
    lines = [line((head, "dim"))]
    for one in rows:
        now = one.now
        doing, style = now.step.info.name, ""
        if now.unseen:
            doing, style = f"on {clean(now.host)}, unseen", "dim"
        elif now.silent >= A_WHILE:
            doing, style = f"silent, {ago(now.silent)}", "bad"
        elif now.seconds >= A_WHILE:
            doing = f"{doing}, {ago(now.seconds)}"
        known = one.seconds is not None
        others = f"~{percent(one.waits_share)}" if known else percent(None)
        lines.append(
            line(
                (fit(str(now.rank), NUMBER - 2, right=True) + "  ", "bold" * (one is last)),
                (fit(doing, step), style),
                (fit(short_time(one.seconds), PER_BATCH, right=True), ""),
                (fit(percent(one.data_share if known else None), SHARE, right=True), ""),
                (fit(others, SHARE, right=True), "dim"),
            )
        )
    return lines


def told(times: tuple[RankTimes, ...], width: int, *, held: bool) -> list[Line]:
    """What there is to say of them, in lines of this width; `held` if the run is to stand still."""
    stuck = "" if held else held_up(tuple(one.now for one in times))
    style = "warn" if stuck else ""
    return [line((text, style)) for text in wrap(stuck or who_waits(times), max(1, width))]


def who_waits(times: tuple[RankTimes, ...]) -> str:
    """Which rank waits for what, and which for it, in a sentence; "" before it can be told."""
    last = slowest(times)
    times = tuple(one for one in times if one.seconds)
    if last is None or len(times) < 2:
        return ""
    waiting = [one for one in times if one is not last and one.waits_share >= WORTH_TELLING]
    if not waiting:
        share = min(one.data_share for one in times)
        if share >= WORTH_TELLING:
            return f"all ranks wait for data {percent(share)}, none for another"
        return "no rank waits for another"
    most = percent(max(one.waits_share for one in waiting))
    named, why = _names([one.now for one in waiting]), _why(last, times)
    if "waits" not in why:
        named += " waits" if len(waiting) == 1 else " wait"
    return f"rank {last.now.rank} {why}, {named} for it in backward ~{most}"


def slowest_rank(times: tuple[RankTimes, ...]) -> str:
    """The slowest rank, its time for a batch, and who waits for whom; "" before it can be told."""
    last, waits = slowest(times), who_waits(times)
    if last is None or not waits:
        return ""
    return f"slowest: rank {last.now.rank}, {short_time(last.own)} a batch by itself; {waits}"


def _why(last: RankTimes, times: tuple[RankTimes, ...]) -> str:
    """What the slowest rank spends more time on than the others."""
    others = [one for one in times if one is not last]
    more = {
        step: last.phases[step] - min(one.phases[step] for one in others)
        for step in ORDER
        if step not in (Step.BACKWARD, Step.VALIDATE)
    }
    step = max(more, key=lambda step: more[step])
    if step is Step.DATA:
        return f"waits for data {percent(last.data_share)}"
    longer = percent(more[step] / last.seconds if last.seconds else 0.0)
    return f"takes {longer} longer in {step.info.name}"


def held_up(ranks: tuple[RankNow, ...]) -> str:
    """Which rank the others have waited for, for long; "" while the run moves.

    It is one that does not answer, or that is behind while all have been in one step for long.
    """
    ranks = tuple(one for one in ranks if not one.unseen)
    silent = [one for one in ranks if one.silent >= HELD_UP]
    if silent:
        one = silent[0]
        has = "has" if len(silent) == 1 else "have"
        return f"{_names(silent)} {has} not answered for {ago(one.silent)}: it was {_where(one)}"
    if len(ranks) < 2 or min(one.seconds for one in ranks) < HELD_UP:
        return ""
    least = min(one.place for one in ranks)
    behind = [one for one in ranks if one.place == least]
    others = [one for one in ranks if one.place != least]
    since = ago(min(one.seconds for one in behind))
    if not others:
        return f"all ranks have been {_where(behind[0])} for {since}"
    has, wait = "has" if len(behind) == 1 else "have", "waits" if len(others) == 1 else "wait"
    steps = " and ".join(dict.fromkeys(one.step.info.name for one in others))
    return (
        f"{_names(behind)} {has} been {_where(behind[0])} for {since}, "
        f"{_names(others)} {wait} in {steps}"
    )


def _where(one: RankNow) -> str:
    if one.step is Step.VALIDATE:
        return f"in validation after batch {count(one.batches_done)}"
    return f"in {one.step.info.name} of batch {count(one.batches_done + 1)}"


def _names(ranks: list[RankNow]) -> str:
    """Rank 1; ranks 1, 2 and 3; ranks 1, 2 and 14 others."""
    words = [str(one.rank) for one in ranks]
    if len(words) == 1:
        return f"rank {words[0]}"
    if len(words) > 4:
        words = [*words[:2], f"{len(words) - 2} others"]
    return f"ranks {', '.join(words[:-1])} and {words[-1]}"
