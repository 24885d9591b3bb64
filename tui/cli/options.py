"""Options that several commands of `fivestep` take."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final, get_args

import typer

from ...core.protocol.faults import Fault

EXIT_CODES: Final = (
    "Exit codes: 0 finished, or stopped as asked; 1 failed; 2 wrong usage or recipe; 3 a --break "
    "ended the run; 4 its last checkpoint, log or outcome is not on the disk; 130 and 143 "
    "interrupted (SIGINT, SIGTERM); 141 nobody reads the output."
)
"""At the end of the help of whatever trains."""

Options = dict[str, Any]
"""Annotations by the name of the parameter."""

PresetOption = Annotated[
    str, typer.Argument(metavar="PRESET", help="A preset's name, or a recipe's path.")
]
EpochsOption = Annotated[str | None, typer.Option(metavar="N", help="Epochs to train.")]
EarlyStopOption = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="End when N validations in a row were no better (--set min_delta=X: by X); or off.",
    ),
]
RECIPE_OPTIONS: Final[Options] = {
    "epochs": EpochsOption,
    "early_stop": EarlyStopOption,
    "batch_size": Annotated[str | None, typer.Option(metavar="N", help="Samples per batch.")],
    "lr": Annotated[str | None, typer.Option(metavar="X", help="Learning rate.")],
    "optimizer": Annotated[
        str | None, typer.Option(metavar="NAME", help="An optimizer of torch.optim.")
    ],
    "seed": Annotated[str | None, typer.Option(metavar="N", help="Of weights, order and dropout.")],
    "device": Annotated[
        str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")
    ],
    "threads": Annotated[str | None, typer.Option(metavar="N", help="Threads of torch, or auto.")],
    "amp": Annotated[str | None, typer.Option(metavar="bf16|fp16", help="Mixed precision.")],
    "compile": Annotated[
        bool, typer.Option("--compile", help="Run the model through torch.compile.")
    ],
    "model": Annotated[str | None, typer.Option(metavar="NAME", help="Another model.")],
    "dataset": Annotated[str | None, typer.Option(metavar="NAME", help="Another data set.")],
    "data_dir": Annotated[
        str | None, typer.Option(metavar="DIR", help="Where the data set's files already are.")
    ],
    "set_": Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A key of the recipe, or a parameter of the file; may be repeated.",
        ),
    ],
}
"""What a command line may change in a recipe."""
BreakItOption = Annotated[
    list[str] | None,
    typer.Option(
        "--break-it",
        metavar="SWITCH",
        help=f"Break the loop on purpose: {', '.join(Fault)}. May be repeated.",
    ),
]
TensorboardOption = Annotated[
    str | None,
    typer.Option(
        metavar="[DIR]",
        help="Write event files for TensorBoard, too: in DIR/NAME, else in the run's folder.",
    ),
]
MAY_STAND_ALONE: Final = ("--tensorboard",)
"""Options whose value may be left out: it is "" then."""
BellOption = Annotated[
    bool | None,
    typer.Option(
        "--bell/--no-bell",
        show_default=False,
        help="Ring the terminal at the end, at NaN, breakpoints and verdicts; or don't.",
    ),
]
NotifyOption = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="Run it once at the end, with the outcome as JSON on stdin; 10 seconds at most.",
    ),
]
RUN_OPTIONS: Final[Options] = {
    "on_nan": Annotated[
        str | None,
        typer.Option(
            metavar="stop|rollback",
            help="When NaN or infinity comes: end, or go back with half the lr. The screen asks.",
        ),
    ],
    "break_": Annotated[
        list[str] | None,
        typer.Option(
            "--break",
            metavar="CONDITION",
            help='Pause when it becomes true, as "grad_norm > 10"; without a screen: stop, with a '
            "report. May be repeated.",
        ),
    ],
    "break_it": BreakItOption,
    "hold": Annotated[
        bool | None,
        typer.Option(
            "--hold/--no-hold",
            show_default=False,
            help="On the screen: start paused, as presets of ten seconds or less do; or don't.",
        ),
    ],
    "nproc": Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="In so many processes on this machine, as torchrun --nproc-per-node does.",
        ),
    ],
    "parallel": Annotated[
        str | None,
        typer.Option(
            metavar="ddp|fsdp",
            help="Each of several processes has the whole model, or a part of it (FSDP2).",
        ),
    ],
    "tensorboard": TensorboardOption,
    "bell": BellOption,
    "notify": NotifyOption,
    "no_ui": Annotated[bool, typer.Option("--no-ui", help="Lines instead of the screen.")],
    "json": Annotated[bool, typer.Option("--json", help="One JSON object a line instead.")],
    "quiet": Annotated[bool, typer.Option("--quiet", help="Nothing but errors.")],
}
"""What a command line may ask of a run."""


def with_options(
    options: Options, *, after: str, without: tuple[str, ...] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command more options; their values are in the context's `params`.

    Typer reads the options off a command's signature, so they are put in there.

    Args:
        options: their annotations.
        after: the parameter that they stand behind.
        without: options that the command does not take.
    """
    more = [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=False if get_args(option)[0] is bool else None,
            annotation=option,
        )
        for name, option in options.items()
        if name not in without
    ]

    def extend(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        parameters = list(signature.parameters.values())
        place = list(signature.parameters).index(after) + 1
        parameters[place:place] = more

        @functools.wraps(command)
        def extended(**values: Any) -> None:
            command(**{name: values[name] for name in signature.parameters})

        extended.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        extended.__annotations__ = {one.name: one.annotation for one in parameters}
        return extended

    return extend


OneObjectOption = Annotated[bool, typer.Option("--json", help="One JSON object instead.")]
TracebackOption = Annotated[
    bool, typer.Option("--traceback", help="Show where an error came from.")
]

NameOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of this run; made up otherwise.")
]
RunsDirOption = Annotated[
    str | None,
    typer.Option(
        "--runs-dir", metavar="DIR", help="Where runs are kept: ./runs, or $FIVESTEP_RUNS."
    ),
]
NoSaveOption = Annotated[bool, typer.Option("--no-save", help="Keep nothing on the disk.")]
SaveEveryOption = Annotated[
    str,
    typer.Option(
        metavar="SPAN",
        help="Between two checkpoints, as 30s or 5min; 10epochs keeps one for good that often.",
    ),
]
DetachOption = Annotated[
    bool, typer.Option("--detach", help="In the background; fivestep attach comes back to it.")
]
RunOption = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="A run's name or folder; the last run if left out."),
]
FileOption = Annotated[
    str | None,
    typer.Argument(metavar="FILE", help="The Python file, for a run that came from one."),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it is there.")]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Accept a recipe or file that was changed since.")
]
