"""Data workers that a run leaves in the middle of an epoch: nobody waits for them."""

from __future__ import annotations

import threading
from multiprocessing import active_children

from .training import Training


class Workers:
    """The data workers that the loaders of a training will start."""

    def __init__(self, training: Training) -> None:
        self._before = set(active_children())
        loaders = (training.batches, training.validation)
        self._persistent = any(getattr(one, "persistent_workers", False) for one in loaders)

    def end(self) -> None:
        """End those that are still there: their loader would wait five seconds for each busy one.
        Persistent workers stay, since their loader may be used again.
        """
        # In the main thread torch takes a worker that ends for a failure.
        if self._persistent or threading.current_thread() is threading.main_thread():
            return
        for child in set(active_children()) - self._before:
            if child.daemon:
                child.terminate()
