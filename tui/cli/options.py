"""Options that several commands of `fivestep` take."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from ...core.protocol.faults import Fault

EXIT_CODES: Final = (
    "Exit codes: 0 finished, or stopped as asked; 1 failed; 2 wrong usage or recipe; 3 a --break "
    "ended the run; 130 and 143 interrupted (SIGINT, SIGTERM); 141 nobody reads the output."
)
"""At the end of the help of whatever trains."""

Preset = Annotated[
    str, typer.Argument(metavar="PRESET", help="A preset's name, or a recipe's path.")
]
Epochs = Annotated[str | None, typer.Option(metavar="N", help="Epochs to train.")]
BatchSize = Annotated[str | None, typer.Option(metavar="N", help="Samples per batch.")]
Lr = Annotated[str | None, typer.Option(metavar="X", help="Learning rate.")]
Optimizer = Annotated[str | None, typer.Option(metavar="NAME", help="An optimizer of torch.optim.")]
Seed = Annotated[str | None, typer.Option(metavar="N", help="Of weights, order and dropout.")]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")]
Threads = Annotated[str | None, typer.Option(metavar="N", help="Threads of torch, or auto.")]
Amp = Annotated[str | None, typer.Option(metavar="bf16|fp16", help="Mixed precision.")]
Compile = Annotated[bool, typer.Option("--compile", help="Run the model through torch.compile.")]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="Another model.")]
Dataset = Annotated[str | None, typer.Option(metavar="NAME", help="Another data set.")]
DataDir = Annotated[
    str | None, typer.Option(metavar="DIR", help="Where the data set's files already are.")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of the recipe; may be repeated."),
]
NoUi = Annotated[bool, typer.Option("--no-ui", help="Lines instead of the screen.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line instead.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Nothing but errors.")]
Traceback = Annotated[bool, typer.Option("--traceback", help="Show where an error came from.")]

Name = Annotated[str | None, typer.Option(metavar="NAME", help="Of this run; made up otherwise.")]
RunsDir = Annotated[
    str | None,
    typer.Option(
        "--runs-dir", metavar="DIR", help="Where runs are kept: ./runs, or $FIVESTEP_RUNS."
    ),
]
NoSave = Annotated[bool, typer.Option("--no-save", help="Keep nothing on the disk.")]
SaveEvery = Annotated[
    str,
    typer.Option(
        metavar="SPAN",
        help="Between two checkpoints, as 30s or 5min; 10epochs keeps one for good that often.",
    ),
]
OnNan = Annotated[
    str | None,
    typer.Option(
        metavar="stop|rollback",
        help="When NaN or infinity comes: end, or go back with half the lr. The screen asks.",
    ),
]
Break = Annotated[
    list[str] | None,
    typer.Option(
        "--break",
        metavar="CONDITION",
        help='Hold when it becomes true, as "grad_norm > 10"; without a screen: stop, with a '
        "report. May be repeated.",
    ),
]
BreakIt = Annotated[
    list[str] | None,
    typer.Option(
        "--break-it",
        metavar="SWITCH",
        help=f"Break the loop on purpose: {', '.join(Fault)}. May be repeated.",
    ),
]
Run = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="A run's name or folder; the last run if left out."),
]
