"""How the watch screen is laid out in windows of different sizes."""

from __future__ import annotations

from textual.geometry import Size

CSS = """
WatchScreen {
    layout: vertical; overflow: hidden; background: $background;

    #body { layout: horizontal; height: 1fr; }
    #left { width: 68; }
    #rest { width: 1fr; }
    #upper { height: 1fr; }
    #right { width: 1fr; }
    #code { display: none; width: 62; height: 1fr; }
    #inside, #view { display: none; }
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
        #rest { width: 1fr; height: 1fr; }
        #steps { height: 14; }
        #numbers, #device, #device.-gpu { height: 1; border: none; padding: 0 2; }
        #curves { height: 1fr; }
        #messages { display: none; }
    }
    /* What must not be overlooked takes rows: the steps give one. */
    &.-alert #steps { height: 15; }
    &.-narrow.-alert #steps { height: 13; }
    &.-roomy.-alert #steps { height: 24; }
    &.-roomy.-wide.-alert #steps { height: 20; }

    /* What the model knows takes the place of the chart; 200x50 has room for both. */
    &.-view #view { display: block; height: 2fr; }
    &.-view #curves { display: none; }
    &.-wide.-view #curves { display: block; height: 1fr; }
    &.-wide.-view #view { height: 1fr; }

    /* Inside a batch: the code above the layers, in the place of chart and messages. */
    &.-inside #inside { display: block; height: 1fr; }
    &.-inside #right { display: none; }
    &.-inside #code { display: block; width: 1fr; }
    &.-wide.-inside {
        #right { display: block; }
        #code { width: 62; }
        #upper { height: 3fr; }
        #inside { height: 2fr; }
    }
    &.-wide.-inside.-view #messages { display: none; }

    /* An outcome or a trouble is told below the progress: the steps give way. */
    &.-told #steps { height: 11; }
    &.-roomy.-told #steps { height: 20; }
    &.-narrow.-told #steps { height: 11; }
    &.-narrow.-told.-short #curves { display: none; }
    &.-narrow.-messages {
        #left, #curves { display: none; }
        #messages { display: block; }
    }

    &.-narrow #verdict { height: 1; }
    &.-narrow.-short.-view #left { display: none; }
    &.-narrow.-inside {
        #left, #upper { display: none; }
    }
    &.-narrow.-code {
        #left, #right { display: none; }
        #code { display: block; width: 1fr; }
    }

    /* Smaller still: the five steps, and what fits. */
    &.-small {
        #numbers, #device, #rest { display: none; }
        #left, #steps { height: 1fr; }
    }
    &.-small.-messages #rest, &.-small.-inside #rest { display: block; }
    &.-small.-code #rest, &.-small.-view #rest { display: block; }
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
