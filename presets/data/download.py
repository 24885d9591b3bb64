"""Files from the network, once: kept in the cache folder, and only with the right checksum."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import RecipeError, printable

if TYPE_CHECKING:
    import pooch

TIMEOUT: Final = 20.0
"""Seconds without a byte."""
MOST: Final = 64_000_000
"""Bytes of one file; the largest published one has 27 million."""
RETRIES: Final = 1
FOLDER: Final = "FIVESTEP_CACHE"
"""The environment variable that moves the cache folder."""


def cache(name: str) -> Path:
    """Where the files of a data set are kept."""
    import pooch  # late, since only downloaded data needs it

    return Path(os.environ.get(FOLDER) or pooch.os_cache("fivestep")) / name


def are_cached(name: str, files: Iterable[str]) -> bool:
    """Whether all these files of a data set have been downloaded before."""
    return all((cache(name) / file).is_file() for file in files)


def fetch(name: str, url: str, registry: Mapping[str, str]) -> list[Path]:
    """The files of a data set, in the registry's order: from the cache, or else from `url`.

    Args:
        name: of the data set.
        url: of the folder that has the files.
        registry: each file's name with its checksum, "sha256:...".

    Raises:
        RecipeError: no connection, no such file, or another checksum; nothing is kept then.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # its own lines name every file's place
    source = pooch.create(
        path=cache(name),
        base_url=f"{url.rstrip('/')}/",
        registry=dict(registry),
        retry_if_failed=RETRIES,
    )
    return [_fetch(source, name, file) for file in registry]


def _fetch(source: pooch.Pooch, name: str, file: str) -> Path:
    import pooch

    progress = _Progress(f"{name}: {file}")
    downloader: Any = pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT, chunk_size=65_536)
    try:
        return Path(source.fetch(file, downloader=downloader))
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"{name}: {file} can't be had from {printable(source.base_url)}: {_reason(error)}; "
            "with the files at hand, name their folder: --data-dir"
        ) from error


def _reason(error: Exception) -> str:
    """In a few words, what went wrong with a download."""
    import requests

    match error:
        case requests.HTTPError() if error.response is not None:
            return f"the server answered {error.response.status_code}"
        case requests.Timeout():
            return "the server does not answer"
        case requests.exceptions.ChunkedEncodingError():
            return "the download broke off"
        case requests.ConnectionError():
            return "no connection"
        case requests.RequestException():
            return "no such address"
        case OSError():
            return printable(error.strerror or type(error).__name__)
        case TooLargeError():
            return f"it has more than {MOST // 10**6} million bytes"
    return "what came has another checksum than what was published"


class TooLargeError(ValueError):
    """More bytes than any of the published files has."""


class _Progress:
    """Says on stderr, a line a quarter, how far a download is; pooch calls it as a progress bar."""

    def __init__(self, called: str) -> None:
        self.total = 0
        """Bytes, if the server said so."""
        self._called = called
        self._done = self._reported = 0

    def update(self, count: int) -> None:
        """So many bytes more, as far as pooch knows. Raises `TooLargeError`."""
        self._done += count
        if self._done > MOST + count:
            raise TooLargeError
        quarter = 4 * self._done // self.total if self.total else 0
        if quarter > self._reported and quarter <= 4:
            self._reported = quarter
            sys.stderr.write(f"{self._called}: {25 * quarter} % of {self.total / 1e6:.1f} MB\n")

    def reset(self) -> None:
        """Before the last `update`, which brings all of the bytes again."""
        self._done = 0

    def close(self) -> None:
        """Nothing is held open."""
