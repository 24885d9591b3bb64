"""What every floor's tests share."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# For what tests share: `terminal` (the benchmarks use it too), `faults`, and core's `states`.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "core")]

settings.register_profile("fivestep", deadline=None)  # a busy machine fails no test
settings.load_profile("fivestep")


@pytest.fixture(autouse=True, scope="session")
def _no_presets_of_ones_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever runs the tests may have some."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_runs_of_others() -> Iterator[None]:
    """Whoever runs the tests may train something. Sockets need a short path."""
    with (
        tempfile.TemporaryDirectory(prefix="run-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        Path(folder).chmod(0o755)  # a test tries it as another user
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(autouse=True)
def _no_runs_of_other_tests(_no_runs_of_others: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test leaves behind for a moment is no live run to the next."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="r"))


@pytest.fixture(autouse=True)
def _runs_kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test trains is kept in a folder of its own."""
    monkeypatch.setenv("FIVESTEP_RUNS", str(tmp_path / "runs"))
