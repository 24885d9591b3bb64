"""How the watch screen is laid out in windows of different sizes."""

from __future__ import annotations

from textual.geometry import Size

CSS = """
WatchScreen {
    layout: vertical; overflow: hidden; background: $background;

    #body { layout: horizontal; height: 1fr; }
    #left { width: 68; }
    #right { width: 1fr; }
    #code { display: none; width: 62; height: 1fr; }
    #steps { height: 16; }
    #numbers { height: 1fr; }
    #device { height: 6; }
    #device.-gpu { height: 9; }
    #curves { height: 2fr; }
    #messages { height: 1fr; min-height: 5; }
    #search { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    #search.-open { display: block; }

    /* 200x50: the loop's source gets a column, rows get air. */
    &.-wide #code { display: block; }
    &.-wide #left { width: 72; }
    &.-roomy #steps { height: 24; }
    &.-roomy.-wide #steps { height: 20; }

    /* 80x24: one column; numbers and device in a line each; messages behind a key. */
    &.-narrow {
        #body { layout: vertical; }
        #left { width: 1fr; height: auto; }
        #right { width: 1fr; height: 1fr; }
        #steps { height: 14; }
        #numbers, #device, #device.-gpu { height: 1; border: none; padding: 0 2; }
        #curves { height: 1fr; }
        #messages { display: none; }
    }
    &.-ended #steps { height: 11; }
    &.-roomy.-ended #steps { height: 20; }
    &.-narrow.-ended #steps { height: 11; }
    &.-narrow.-ended.-short #curves { display: none; }
    &.-narrow.-messages {
        #left, #curves { display: none; }
        #messages { display: block; }
    }

    /* Smaller still: the five steps, and what fits. */
    &.-small {
        #numbers, #device, #right { display: none; }
        #left, #steps { height: 1fr; }
    }
    &.-small.-messages #right { display: block; }
    &.-small #steps.-boxed { border: none; }
}
"""


def classes(size: Size) -> dict[str, bool]:
    """Which classes the screen has at this size."""
    narrow = size.width < 100 or size.height < 32
    return {
        "-narrow": narrow,
        "-wide": size.width >= 170 and not narrow,
        "-roomy": size.height >= 46 and not narrow,
        "-short": size.height < 30,
        "-small": size.height < 23 or size.width < 50,
    }
