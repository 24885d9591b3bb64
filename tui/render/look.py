"""What the choosing screen shows of a data set and a model: plain numbers, no tensors, no torch."""

from __future__ import annotations

from dataclasses import dataclass

Image = tuple[tuple[float, ...], ...]
"""Rows of grey values, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """Points in the plane, each of a class."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    classes: tuple[int, ...]
    names: tuple[str, ...] = ()
    """Of the classes; empty if there is but one."""
    square: bool = False
    """One unit is as long on both axes."""


@dataclass(frozen=True, slots=True)
class Images:
    """Sample images with their labels."""

    samples: tuple[tuple[Image, str], ...]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The beginning of a text."""

    text: str


@dataclass(frozen=True, slots=True)
class Histograms:
    """How the values of each feature are spread."""

    columns: tuple[tuple[str, float, float, tuple[int, ...]], ...]
    """Name, lowest and highest value, and how many samples fall into each of equal bins."""


Picture = Scatter | Images | Excerpt | Histograms


@dataclass(frozen=True, slots=True)
class Layer:
    """A row in the table of a model's layers."""

    name: str
    kind: str
    shape: str
    """Of what it gives, with B for the batch."""
    parameters: int


@dataclass(frozen=True, slots=True)
class Look:
    """A data set and a model, seen. A text in the place of what could not be had."""

    about: str = ""
    """The data set in a few words."""
    samples: int = 0
    """To train on."""
    picture: Picture | str = ""
    inputs: str = ""
    """Shape of a batch of features."""
    layers: tuple[Layer, ...] | str = ()
    parameters: int | None = None
    device: str = ""
    """The device that would be used, such as "cpu"."""
    device_problem: str = ""
    torch: str = ""
    """Which torch looked, such as "2.13.0"; empty if there is none."""
