"""Every command of the watch screen, once: keys, footer, help and palette all read this table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from ...core.protocol.commands import GoBack, Save, SetFault, Undo, Validate
from ...core.protocol.faults import Fault
from ...core.protocol.foreign import refusal
from ...core.protocol.steps import State

KeyGroup = Literal[
    "Choose", "Steer", "Replay", "Look", "Messages", "After the run", "Program"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Situation:
    """What decides which commands apply."""

    state: State
    validation: bool = True
    """The run has validation data."""
    traceback: bool = False
    selected: bool = False
    """A step was chosen to be explained."""
    searching: bool = False
    narrow: bool = False
    """Messages are behind a key."""
    warned: bool = False
    """There is a warning among them that has not been seen yet."""
    kept: bool = False
    """The run is kept on the disk."""
    trouble: bool = False
    """The run is paused by a NaN or an infinity, and waits for an answer."""
    leaving: bool = False
    """The screen closes as soon as the run has stopped and is saved."""
    inside: bool = False
    full: bool = False
    """One panel fills the screen."""
    code: bool = False
    """The code of the loop is seen."""
    broken: bool = False
    """Something is broken on purpose, and can be undone."""
    attached: bool = False
    """Another process trains the run."""
    script: bool = False
    """It is a script's that was started for this screen, and that may ask for something."""
    foreign: bool = False
    """Its loop is not ours."""
    steers: bool = True
    """This screen steers it; another one does where not, or nobody from here."""
    files: bool = False
    """The run is read from its files: it can only be looked at."""
    alone: bool = True
    """It is trained by one process; several end together."""
    replay: bool = False
    """It is shown at any batch of it."""

    @property
    def live(self) -> bool:
        """The run goes on, or is paused."""
        return not self.state.ended


ONLY_REPLAY: Final = "for a run that is played back: fivestep replay NAME"
FILES: Final = "the run is read from its files, which only tell its numbers"


def _always(at: Situation) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class KeyCommand:
    """Something a person can do."""

    id: str
    keys: tuple[str, ...]
    """Textual's names; the first one is shown."""
    shown: str
    """The key as people write it."""
    label: str
    """One or two words for the footer."""
    help: str
    group: KeyGroup
    when: Callable[[Situation], bool] = _always
    footer: int = 0
    """0 is not in the footer; otherwise 1 stays longest when room is short."""
    short: str | None = None
    """The footer's label, if not `label`; an empty one leaves it to the neighbour."""
    style: str = "dim"
    """Of the footer's label."""
    otherwise: str = ""
    """Why it does nothing where `when` does not hold; "" where that goes without saying."""

    @property
    def footer_spans(self) -> tuple[str, str]:
        """The key and the label as the footer shows them."""
        label = self.label if self.short is None else self.short
        return f" {self.shown}", f" {label} " if label else ""


def _live(at: Situation) -> bool:
    return at.live and not at.trouble and at.steers


def _own(at: Situation) -> bool:
    return _live(at) and not at.foreign


def _paused(at: Situation) -> bool:
    return at.state is State.PAUSED and _live(at)


def _moving(at: Situation) -> bool:
    return _live(at) and not _paused(at)


def _trouble(at: Situation) -> bool:
    return at.live and at.trouble and at.steers


def _detachable(at: Situation) -> bool:
    if at.files or at.leaving or not at.live:
        return False
    return at.attached or (at.kept and at.alone and not at.trouble)


def _replay(at: Situation) -> bool:
    return at.replay


def _answers(at: Situation) -> bool:
    return not at.files


def _ended(at: Situation) -> bool:
    return at.state.ended


def _mine_ended(at: Situation) -> bool:
    return at.state.ended and not at.attached and at.alone


_TABLE: Final = (
    KeyCommand("pause", ("space",), "space", "pause",
               "Pause the run at once, inside a batch too", "Steer", _moving, 1),
    KeyCommand("resume", ("space",), "space", "go on", "Go on", "Steer", _paused, 1),
    KeyCommand("step", ("s",), "s", "step",
               "Take one step, then pause: walk through the five steps", "Steer", _live, 2),
    KeyCommand("batch", ("b",), "b", "batch", "Train one batch, then pause", "Steer", _live, 3),
    KeyCommand("epoch", ("e",), "e", "epoch", "Train one epoch, then pause", "Steer", _live, 8),
    KeyCommand("slower", ("less_than_sign", "comma"), "<", "slower",
               "Slow motion, down to one step a second", "Steer", _live, 6, ""),
    KeyCommand("faster", ("greater_than_sign", "full_stop"), ">", "faster",
               "Faster, up to full speed", "Steer", _live, 6, "speed"),
    KeyCommand("lr_up", ("plus", "equals_sign"), "+", "lr ×2",
               "Double the learning rate, on top of any schedule", "Steer", _live, 4, ""),
    KeyCommand("lr_down", ("minus",), "-", "lr ÷2",
               "Halve the learning rate, on top of any schedule", "Steer", _live, 4, "lr"),
    KeyCommand("save", ("c",), "c", "save", "Save a checkpoint now; inside a batch, at its end",
               "Steer", lambda at: _own(at) and at.kept, 5,
               otherwise="this run keeps no files"),
    KeyCommand("validate", ("x",), "x", "validate",
               "Validate now, at the next edge between two batches", "Steer",
               lambda at: _own(at) and at.validation, 9,
               otherwise="there is no validation data"),
    KeyCommand("break_it", ("k",), "k", "break it",
               "Break the loop on purpose, and see what happens", "Steer", _own, 6),
    KeyCommand("undo", ("u",), "u", "undo",
               "Undo what was broken on purpose: back to the batch before it was", "Steer",
               lambda at: at.live and at.broken and at.steers and not at.foreign, 1, style="warn",
               otherwise="nothing is broken on purpose"),
    KeyCommand("breakpoints", ("B",), "B", "breakpoints",
               "Pause when a condition becomes true, such as grad_norm > 10", "Steer", _live, 9),
    KeyCommand("go_back", ("g",), "g", "go back",
               "After NaN or infinity: back to the last checkpoint, with half the lr",
               "Steer", lambda at: _trouble(at) and not at.foreign, 1,
               otherwise="no NaN and no infinity has come, so there is nothing to go back from"),
    KeyCommand("give_up", ("q", "ctrl+c"), "q", "stop",
               "After NaN or infinity: end the run as failed",
               "Steer", lambda at: _trouble(at) and not at.leaving and not at.attached, 1),
    KeyCommand("detach", ("z",), "z", "detach",
               "To the shell: the run goes on in the background (fivestep attach)",
               "Steer", _detachable, 14,
               otherwise="this run keeps no files: it can't go on without this screen"),
    KeyCommand("answer", ("enter",), "enter", "answer",
               "A script that fivestep run has started asks for something: type it", "Steer",
               lambda at: at.script and at.live, 7,
               otherwise="no script was started here that could ask for something"),
    KeyCommand("take_over", ("O",), "O", "take over",
               "Attached, while another screen steers: steer from here", "Steer",
               lambda at: at.live and not at.steers and not at.files, 1, style="warn",
               otherwise="no other screen steers this run"),
    KeyCommand("batch_back", ("left",), "←", "batch back", "Replay: one batch back", "Replay",
               _replay, 2, ""),
    KeyCommand("batch_on", ("right",), "→", "batch", "Replay: one batch on", "Replay", _replay, 2),
    KeyCommand("epoch_back", ("shift+left", "left_square_bracket"), "[", "epoch back",
               "Replay: one epoch back; shift with ← too", "Replay", _replay, 3, ""),
    KeyCommand("epoch_on", ("shift+right", "right_square_bracket"), "]", "epoch",
               "Replay: one epoch on; shift with → too", "Replay", _replay, 3),
    KeyCommand("to_begin", ("home",), "home", "beginning", "Replay: to the beginning", "Replay",
               _replay, 7, ""),
    KeyCommand("to_end", ("end",), "end", "begin/end", "Replay: to the end", "Replay", _replay, 7),
    KeyCommand("play", ("space",), "space", "play/stop",
               "Replay: play on from here, or stop", "Replay", _replay, 1),
    KeyCommand("play_slower", ("less_than_sign", "comma"), "<", "slower",
               "Replay: play slower, down to a batch a second", "Replay", _replay, 4, ""),
    KeyCommand("play_faster", ("greater_than_sign", "full_stop"), ">", "speed",
               "Replay: play faster; one speed shows the whole run in half a minute", "Replay",
               _replay, 4),
    KeyCommand("traceback", ("T",), "T", "traceback",
               "Show where in the code it failed", "After the run",
               lambda at: at.traceback and (at.trouble or at.state is State.FAILED), 1,
               otherwise="nothing has failed"),
    KeyCommand("again", ("r",), "r", "run again", "The same run from the start",
               "After the run", _mine_ended, 2,
               otherwise="once the run has ended"),
    KeyCommand("another", ("n",), "n", "another preset", "Back to the choosing screen",
               "After the run", _mine_ended, 3,
               otherwise="once the run has ended"),
    KeyCommand("next_step", ("down",), "↓", "next step", "Explain the next step", "Look"),
    KeyCommand("previous_step", ("up",), "↑", "previous step", "Explain the previous step", "Look"),
    KeyCommand("follow", ("escape",), "esc", "follow",
               "Explain the running step again; leave a search or the messages", "Look",
               lambda at: at.selected or at.searching),
    KeyCommand("inside", ("i",), "i", "inside",
               "Inside the batch: the code, the layers, what each step changes in them", "Look",
               _answers, 4, otherwise=FILES),
    KeyCommand("spread", ("h",), "h", "histograms",
               "Inside: histograms of the weights, of the gradients, or none", "Look",
               lambda at: at.inside, 6,
               otherwise="for the inside of a batch, which {inside} opens"),
    KeyCommand("source", ("S",), "S", "source",
               "Code: the loop as one writes it, or the source that is executed", "Look",
               lambda at: at.code, 6,
               otherwise="for the code, which {inside} opens"),
    KeyCommand("picture", ("p",), "p", "picture",
               "What the model knows by now, in pictures; then the chart again", "Look",
               _answers, 6, otherwise=FILES),
    KeyCommand("batch_content", ("a",), "a", "data",
               "The batch at hand: its first samples, what the model makes of them, each loss",
               "Look", _answers, 7, "", otherwise=FILES),
    KeyCommand("parameters", ("o",), "o", "parameters",
               "Parameters, gradients; of those of few numbers the optimizer's arithmetic",
               "Look", _answers, 7, "values", otherwise=FILES),
    KeyCommand("epochs", ("E",), "E", "epochs",
               "Every epoch in a row: average loss, validation, metric, seconds", "Look",
               footer=9),
    KeyCommand("full", ("f",), "f", "full",
               "Let a panel fill the screen, at first the chart", "Look",
               lambda at: not at.full, 5),
    KeyCommand("restore", ("f",), "f", "all panels", "Show all panels again", "Look",
               lambda at: at.full, 1),
    KeyCommand("next_full", ("tab",), "tab", "next panel",
               "While a panel fills the screen: the next one", "Look", lambda at: at.full, 1,
               otherwise="{full} lets a panel fill the screen first"),
    KeyCommand("previous_full", ("shift+tab",), "shift+tab", "panel before",
               "While a panel fills the screen: the one before", "Look", lambda at: at.full,
               otherwise="{full} lets a panel fill the screen first"),
    KeyCommand("verdicts", ("y",), "y", "why",
               "What is wrong with the run, why, and what to try", "Look"),
    KeyCommand("window", ("w",), "w", "recent/whole", "Chart: recent batches or the whole run",
               "Look", _always, 10, "span"),
    KeyCommand("log", ("l",), "l", "log scale", "Chart: logarithmic or linear",
               "Look", _always, 11),
    KeyCommand("smooth", ("m",), "m", "smooth", "Chart: smoothing off, light, strong",
               "Look", _always, 12),
    KeyCommand("metric", ("t",), "t", "next metric",
               "Chart: loss, validation metric, learning rate, gradient norm, throughput",
               "Look", _always, 10),
    KeyCommand("messages", ("v",), "v", "messages", "Show or hide the messages", "Messages",
               lambda at: at.narrow and not at.warned, 6,
               otherwise="they are on the screen"),
    KeyCommand("warning", ("v",), "v", "! warning", "Show the messages: a warning is among them",
               "Messages", lambda at: at.narrow and at.warned, 1, style="warn"),
    KeyCommand("search", ("slash",), "/", "search", "Show only messages that contain a text",
               "Messages", _always, 13),
    KeyCommand("back", ("pageup",), "PgUp", "older", "Older messages, or rows further up",
               "Messages"),
    KeyCommand("ahead", ("pagedown",), "PgDn", "newer", "Newer messages, or rows further down",
               "Messages"),
    KeyCommand("theme", ("d",), "d", "dark/light", "Dark or light colours", "Program", _always, 14),
    KeyCommand("stop", ("q", "ctrl+c"), "q", "stop",
               "Ask: stop after this batch, after this epoch, or go on", "Program",
               lambda at: _live(at) and not at.leaving and not at.attached, 1),
    KeyCommand("leave", ("q", "ctrl+c"), "q", "leave",
               "Attached: ask whether to leave the run, which goes on, or to stop it", "Program",
               lambda at: at.live and not at.leaving and at.attached and not at.files, 1),
    KeyCommand("leave_at_once", ("ctrl+c",), "ctrl+c", "leave at once",
               "While leaving waits for a batch or a checkpoint: wait no longer", "Program",
               lambda at: at.leaving, 1),
    KeyCommand("quit", ("q", "ctrl+c"), "q", "quit", "Leave fivestep", "Program",
               lambda at: (_ended(at) or at.files) and not at.leaving, 1),
    KeyCommand("shell", ("ctrl+z",), "ctrl+z", "shell",
               "To the shell, training stops; fg comes back, bg trains on without a screen",
               "Program"),
    KeyCommand("help", ("question_mark", "f1"), "?", "help", "This page", "Program", _always, 1),
)  # fmt: skip

COMMANDS: Final = list(_TABLE)
"""As they are now: `rebind` gives them other keys."""
BY_ID: Final = {command.id: command for command in COMMANDS}
KEYS: Final = list(dict.fromkeys(key for command in COMMANDS for key in command.keys))
"""Every key once; two commands may share one, if they never apply at the same time."""


def keyed(text: str) -> str:
    """`text` with keys, as they are now, in the place of commands: "{inside} opens it"."""
    return text.format_map({command.id: command.shown for command in COMMANDS})


NOT_FOREIGN: Final = {
    "save": refusal(Save()),
    "validate": refusal(Validate()),
    "break_it": refusal(SetFault(next(iter(Fault)), on=True)),
    "undo": refusal(Undo()),
    "go_back": refusal(GoBack()),
}
"""Commands that a loop which is not ours can't do, and why."""


def applying(at: Situation) -> list[KeyCommand]:
    """The commands that make sense now, in the order of the table."""
    return [command for command in COMMANDS if command.when(at)]


def for_key(key: str, at: Situation) -> KeyCommand | None:
    """What a key does now."""
    return next((command for command in applying(at) if key in command.keys), None)


def why_not(key: str, at: Situation) -> str:
    """What to say of a key that does nothing now; "" where nothing need be said."""
    command = next((command for command in COMMANDS if key in command.keys), None)
    if command is None:
        return ""
    reason = keyed(command.otherwise)
    if command.group == "Steer" and at.files:
        reason = FILES
    elif command.when is _mine_ended and at.attached:
        reason = "not in an attached screen"
    elif command.when in (_mine_ended, _detachable) and not at.alone:
        reason = "not in a run of several processes"
    elif command.group == "Replay":
        reason = ONLY_REPLAY
    elif command.group == "Steer" and at.state.ended:
        reason = "the run has ended" + (keyed(", {again} runs it again") if not at.attached else "")
    elif command.group == "Steer" and not at.steers:
        reason = keyed("another screen steers this run, {take_over} takes over")
    elif command.id in NOT_FOREIGN and at.foreign:
        reason = NOT_FOREIGN[command.id]
    elif command.group == "Steer" and at.trouble:
        reason = "the run waits for an answer"
    return f"{command.shown} {command.label}: {reason}" if reason else ""


def footer(at: Situation, width: int) -> list[KeyCommand]:
    """What the footer shows in `width` cells: the least important give way first."""
    there = [command for command in applying(at) if command.footer]
    shown: list[KeyCommand] = []
    for command in sorted(there, key=lambda command: command.footer):
        if command.short == "":
            continue  # it comes with its neighbour, whose label it shares
        before = there[max(0, there.index(command) - 1)]
        more = [*shown, *([before] if before.short == "" else []), command]
        if command.footer > 1 and footer_width(more) > width:
            break
        shown = more
    return [command for command in there if command in shown]


def footer_width(shown: list[KeyCommand]) -> int:
    """Cells that these take."""
    return sum(len(text) for command in shown for text in command.footer_spans)
