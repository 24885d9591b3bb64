"""What is said of a run that can't be resumed."""

from __future__ import annotations

from ...core.storage.run_directory import RunDirectory
from ...presets.errors import RecipeError, reason


def checkpoint_names(directory: RunDirectory) -> list[str]:
    """Raises RecipeError: they can't be listed, so what there is of the run is not known."""
    try:
        return sorted(file.name for file in directory.checkpoints.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecipeError(
            f"{directory.name}: its checkpoints can't be read: {reason(error)}"
        ) from error


def no_checkpoint(directory: RunDirectory, why: str) -> RecipeError:
    """What is said of a run that has no checkpoint to resume from. Raises another, see above."""
    logs = (directory.metrics, directory.outcome)
    there = checkpoint_names(directory)[:3]
    there += [file.name for file in logs if file.is_file() and file.stat().st_size]
    if not there:
        return RecipeError(
            f"{directory.name}: it ended before anything of it was saved; "
            "--force trains it from the start"
        )
    return RecipeError(
        f"{directory.name}: no checkpoint can be resumed from ({why}), though there is "
        f"{', '.join(there)}; --force trains from the start, over what is there"
    )


def too_few(directory: RunDirectory, trained: str, epochs: int) -> RecipeError:
    """What is said of a run that is to have fewer epochs than it has trained."""
    return RecipeError(f"{directory.name}: it has trained {trained}, more than --epochs {epochs}")
