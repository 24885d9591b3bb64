"""Tensors as a safetensors file: the length of a header, the header as JSON, the bytes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from .files import replacing, write_all

TYPES: Final = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_safetensors(path: Path, tensors: Mapping[str, Any], about: Mapping[str, str]) -> None:
    """Write tensors under their names, in the place of what was there; one that several names
    share is written for each of them.

    Args:
        path: of the file.
        tensors: on any device.
        about: the file's metadata.

    Raises:
        ValueError: one is no tensor, or of a type that the format, or this, does not have.
        OSError: it can't be written.
    """
    header: dict[str, object] = {"__metadata__": dict(about)}
    end = 0
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{name} is no tensor")
        if tensor.dtype not in TYPES or tensor.layout is not torch.strided:
            kind = str(tensor.dtype if tensor.layout is torch.strided else tensor.layout)
            raise ValueError(f"{name} is of type {kind.removeprefix('torch.')}")
        start, end = end, end + tensor.numel() * tensor.element_size()
        kind = TYPES[tensor.dtype]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors lie where they may be mapped
    with replacing(path) as fd:
        write_all(fd, memoryview(len(text).to_bytes(8, "little") + text))
        for tensor in tensors.values():
            write_all(fd, memoryview(_bytes(tensor)))


def _bytes(tensor: Tensor) -> bytes:
    """Its numbers in order, the lowest byte of each first."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    numbers = flat.view(torch.uint8).numpy() if flat.numel() else flat.numpy()
    if sys.byteorder == "big":
        numbers = numbers.reshape(-1, tensor.element_size())[:, ::-1]
    return numbers.tobytes()
