"""What becomes of a run whose folder somebody moves, empties or deletes while it is trained."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

from .checkpoint import CheckpointStore
from .files import clean, refusal
from .run_directory import RunDirectory
from .run_log import RunLog


class FolderGuard:
    """Follows a run's folder, and puts back what is taken out of it. Any thread may ask it to.

    Args:
        directory: open, and ours.
        log: written there.
        store: its checkpoints.
        tell: called with a line for a person.
    """

    def __init__(
        self,
        directory: RunDirectory,
        log: RunLog,
        store: CheckpointStore,
        tell: Callable[[str], object],
    ) -> None:
        self._directory, self._log, self._store, self._tell = directory, log, store, tell
        self._problem = ""
        """Why it could not be mended the last time; "" if it could."""
        self._looking = threading.Lock()

    def look(self) -> bool:
        """Mend what is to be mended; whether anything of the folder was gone, and is back."""
        with self._looking:
            try:
                back = self._mended()
            except OSError as error:
                problem = refusal(error)
                if problem != self._problem:
                    full = error.errno in {errno.ENOSPC, errno.EDQUOT}  # nobody has touched it
                    what = "takes no more" if full else "is gone or damaged, and can't be mended"
                    here = _shown(self._directory.path)
                    self._tell(f"the run's folder {here} {what}: {problem}; training goes on")
                self._problem = problem
                return False
            self._problem = ""
            return back

    def _mended(self) -> bool:
        directory = self._directory
        before = directory.path
        found = directory.follow()
        try:
            back = directory.put_back() + self._log.put_back()
            if self._store.put_back():
                back.append("checkpoints")
        finally:  # what is told has been done
            if found in {"deleted", "taken"}:
                self._tell(replaced(before, directory.path, found))
            elif found == "moved":
                here = _shown(directory.path)
                self._tell(f"the run's folder was moved: it is kept in {here} now")
        if back and found in {"there", "moved"}:
            self._tell(f"taken out of the run's folder, and put back: {', '.join(back)}")
        return bool(back)


def replaced(before: Path, here: Path, why: str) -> str:
    """What a person is told when a run has got a new folder, since the old one was deleted or
    taken.
    """
    what = "was deleted" if why == "deleted" else "is another process's now"
    made = "a new one was made, and the run is kept in"
    return f"the run's folder {_shown(before)} {what}: {made} {_shown(here)} now"


def _shown(path: Path) -> str:
    return clean(str(path))
