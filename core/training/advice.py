"""What to do about errors that people often meet."""

from __future__ import annotations

import pickle
import traceback
from typing import Final

import torch

from .nonfinite import NonFiniteError
from .unfit import UnfitError

MEMORY: Final = "try a smaller batch size, with accumulate to make up for it, or a smaller model"
WORKER: Final = "a data worker died (out of memory?): try fewer; num_workers=0 shows its error"

UNSENDABLE: Final = (
    "spawned data workers are sent the data set and collate_fn by name: take functions and classes "
    "of the file's top level, no lambdas"
)
BY_MESSAGE: Final = (
    (("can't allocate memory",), MEMORY),
    (("shapes cannot be multiplied", "size mismatch", "must match"),
     "the shapes of data and model do not fit: compare them in the traceback"),
    (("more than 1 value per channel",),
     ("batch norm can't be trained on a batch of one: drop_last=True in the DataLoader, or "
      "another batch_size")),
    (("is out of bounds.", "index out of range in self"),
     "a label or token lies outside what the model's outputs cover: check the classes"),
    (("got Double and", "Input type (double)"),
     "numbers from NumPy are float64: .float() makes them what the model is"),
    (("and Double", "bias type (double)"),
     "the model is float64: model.float(), or give it features.double()"),
    (("got Byte and", "Input type (unsigned char)"),
     "images of whole numbers: .float() / 255 makes them what the model is"),
    (("target dtype to be Long",), "labels of classes are whole numbers: labels.long()"),
    (("multi-target not supported",), "labels of classes have shape (B,): labels.squeeze(1)"),
    (("argument #1 'indices'",), "an embedding takes the numbers of tokens: whole ones, .long()"),
    (("expected scalar type", "same dtype"),
     "the types differ: labels for classes are int64, all else float32"),
    (("to be on the same device", "is not on the expected device"),
     ("the batches are on the run's device: what the model or the criterion makes itself belongs "
      "there, too: .to(x.device), or register_buffer")),
    (("not numpy.ndarray",),
     "the batches are NumPy arrays: torch.from_numpy(...) in the data set or in unpack"),
    (("modified by an inplace operation",),
     "backward needs what was overwritten: y = y + 1 in the place of y += 1, no inplace=True"),
    (("backward through the graph a second time",),
     "something of an earlier batch is carried on, such as a hidden state: detach() it"),
    (("should be between 0 and 1",),
     "BCELoss takes probabilities: BCEWithLogitsLoss takes the outputs as they are"),
    (("channels, but got",),
     "images are (B, channels, height, width): permute(0, 3, 1, 2) if channels come last"),
    (("stack expects each tensor to be equal size",),
     ("the samples of a batch have different sizes: crop or pad them, or give the DataLoader "
      "a collate_fn")),
    (("finished reduction in the prior iteration",),
     ("several processes need a gradient of every parameter, and the loss does not reach all: "
      "requires_grad_(False) for those, or train in one process")),
    (("default_collate: batch must contain",),
     "give the data set a transform that makes tensors, or the DataLoader a collate_fn"),
)  # fmt: skip
"""What to do, by parts of torch's messages; the first that fits counts."""


def advise(error: BaseException) -> str:
    """What a person could try; empty where nothing sensible can be said."""
    text = str(error)
    if isinstance(error, UnfitError):
        return error.advice
    if isinstance(error, NonFiniteError):
        return "try a lower learning rate, clip the gradients, or look for NaN in the data"
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return MEMORY
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return "torch.compile failed (it needs a C++ compiler such as g++): leave out --compile"
    if lost_worker(error):
        return WORKER
    if isinstance(error, pickle.PicklingError) or "local object" in text:
        return UNSENDABLE
    return next((advice for signs, advice in BY_MESSAGE if any(sign in text for sign in signs)), "")


def lost_worker(error: BaseException) -> bool:
    """Whether a data worker died, or the other end went away while a batch came from it."""
    if not isinstance(error, (ConnectionError, EOFError)):
        return isinstance(error, RuntimeError) and "DataLoader worker (pid" in str(error)
    return any(
        "multiprocessing" in frame.filename for frame in traceback.extract_tb(error.__traceback__)
    )
