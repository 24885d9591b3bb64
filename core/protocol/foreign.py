"""What can't be asked of a loop that is not ours, and why."""

from __future__ import annotations

from typing import Final

from .commands import Command, GoBack, Save, SetFault, Undo, Validate

_SAVES: Final = "nothing saved: only the script itself knows how to save and to go back"
_WHY: Final[dict[type, str]] = {
    Save: _SAVES,
    GoBack: _SAVES,
    Undo: _SAVES,
    SetFault: "the script's own loop can't be broken on purpose: no line of it is ours",
    Validate: "not validated: only the script itself knows how, and when",
}


def refusal(command: Command) -> str:
    """Why a loop that is not ours (`RunInfo.foreign`) can't do this; "" if it can."""
    return _WHY.get(type(command), "")
