"""Where things are on the choosing screen, by the window's size."""

from __future__ import annotations

from typing import Final

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
}
"""


def layout_classes(width: int, height: int) -> dict[str, bool]:
    """The screen's classes for a window of so many cells, and whether each applies."""
    return {"-narrow": width < 112, "-wide": width >= 160, "-short": height < 30}
