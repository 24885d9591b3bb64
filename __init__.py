"""fivestep: watch, steer and trust the five steps of a PyTorch training loop."""

__version__ = "0.1.0"
