"""Files that come with scikit-learn: to import it takes as long as to import torch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ..errors import RecipeError


def packaged(name: str, data: str) -> Path | None:
    """A data file of scikit-learn; None where this version keeps it elsewhere.

    Raises:
        RecipeError: scikit-learn is not installed; `data` says what it would have brought.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise RecipeError(f"{data} are part of scikit-learn, which is not installed")
    file = Path(package.origin).parent / "datasets" / "data" / name
    return file if file.is_file() else None
