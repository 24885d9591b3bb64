"""What a campaign of faults found."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from forked import python


@dataclass(frozen=True)
class Result:
    """One line of the table that `make faults` prints."""

    fault: str
    """Its number in the list of faults: "F1"."""
    what: str
    """The fault, in a few words."""
    trials: int
    lost: int
    """Trials in which something was lost, executed or silently altered."""
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def in_own_process(module: str, trials: int, seed: int) -> Result:
    """The result that `python -m module trials seed` prints as JSON.

    A campaign that forks, limits its process or listens to all it does has one to itself.

    Raises:
        RuntimeError: it did not come to its end.
    """
    try:
        done = python("-m", module, str(trials), str(seed))
    except AssertionError as error:
        raise RuntimeError(f"{module}: {str(error)[-2000:]}") from None
    found = json.loads(done.stdout)
    return Result(**(found | {"notes": tuple(found["notes"])}))
