"""What to do about errors of torch that people often meet."""

from __future__ import annotations

from typing import Final

MEMORY: Final = "try a smaller batch size, with accumulate to make up for it, or a smaller model"
CURES: Final = (
    (("can't allocate memory",), MEMORY),
    (("shapes cannot be multiplied", "size mismatch", "must match"),
     "the shapes of data and model do not fit: compare them in the traceback"),
    (("more than 1 value per channel",),
     ("batch norm can't be trained on a batch of one: drop_last=True in the DataLoader, or "
      "another batch_size")),
    (("out of bounds", "out of range"),
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
    (("default_collate: batch must contain",),
     "give the data set a transform that makes tensors, or the DataLoader a collate_fn"),
)  # fmt: skip
"""What to do, by parts of torch's messages; the first that fits counts."""
