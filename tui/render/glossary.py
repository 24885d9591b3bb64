"""The words on the screen, in the field's own terms, for the pages of help."""

from __future__ import annotations

from typing import Final

from .format import wrap
from .spans import Line, line

GLOSSARY: Final = (
    ("model", "layers with parameters, which turn features into outputs"),
    ("features, labels", "what a sample is described by, and the answer that the data gives"),
    ("epoch", "one pass over all training data"),
    ("batch", "the samples that are trained on together: one update comes of each"),
    ("forward pass", "outputs = model(features): the batch runs through the layers"),
    ("criterion, loss", "measures how wrong the outputs are, in one number; lower is better"),
    ("backward pass", "loss.backward(): autograd computes a gradient for every parameter"),
    ("gradient", "how the loss would change if a parameter grew; in its .grad"),
    ("grad norm", "the length of all gradients together"),
    ("parameter, weight", "a number that the model learns"),
    ("optimizer", "moves the parameters against their gradients, by a rule such as SGD or Adam"),
    ("update", "optimizer.step(): the one step in which parameters move"),
    ("learning rate, lr", "how far an update moves them; a schedule changes it as training goes"),
    ("validation", "the model is judged on data that it is not trained on: val loss, accuracy"),
    ("train, eval mode", "model.train() and model.eval(): dropout and batch norm act otherwise"),
    ("overfit", "good on the training data, worse on validation data: learned by heart"),
    ("checkpoint", "the whole state of a run on the disk, from which fivestep resume goes on"),
    ("paused, held", "the run waits between two steps, until a key lets it go on"),
    ("seed", "decides the first weights, the order of the batches and dropout"),
)
"""Each with what it means, in the order in which a learner meets them."""

WIDTH: Final = 19
MORE: Final = (
    "fivestep explain, followed by a preset's name, tells the first batches of a run step by "
    "step, with its own numbers."
)


def glossary(width: int) -> list[Line]:
    """The words with their meanings, for `width` cells."""
    room = max(20, width - WIDTH)
    rows = [line(("The words on the screen", "bold"))]
    for word, meaning in GLOSSARY:
        for i, text in enumerate(wrap(meaning, room)):
            rows.append(line(("" if i else word).ljust(WIDTH), text))
    return [*rows, (), *(line(text) for text in wrap(MORE, max(1, width)))]
