"""What is handed out: an sdist and a clean wheel that runs beside a user's `core`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "runs", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
)
BUILD_SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"


def check(*command: str | Path, cwd: Path, **env: str) -> str:
    """What the command printed; with a failure, the test shows all of it."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def pip(*arguments: str | Path, cwd: Path) -> None:
    """Run pip without the network: nothing but what is already there."""
    check(sys.executable, "-m", "pip", *arguments, "--no-index", "--no-deps", "-q", cwd=cwd)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, so that no stale build folder has a say."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("build") / "tree", ignore=NOT_SOURCE)


@pytest.fixture(scope="module")
def sdist(tree: Path) -> Path:
    check(sys.executable, "-c", BUILD_SDIST, tree.parent, cwd=tree)
    (made,) = tree.parent.glob("*.tar.gz")
    return made


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """The wheel that an index would hand out: built from the sdist."""
    pip("wheel", "--no-build-isolation", "-w", sdist.parent, sdist, cwd=sdist.parent)
    (made,) = sdist.parent.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    """A folder with the wheel installed beside a user's package called `core`."""
    target = wheel.parent / "site"
    pip("install", "--target", target, wheel, cwd=wheel.parent)
    (target / "core").mkdir()
    (target / "core" / "__init__.py").write_text('whose = "the user\'s"\n')
    return target


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_sdist_holds_every_source_and_the_licence(sdist: Path, tree: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    floors = [path for floor in ("core", "presets", "tui") for path in (tree / floor).rglob("*.py")]
    assert {path.relative_to(tree).as_posix() for path in floors} <= names
    assert {"LICENSE", "README.md", "pyproject.toml", "py.typed"} <= names


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = names_in(wheel)
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"fivestep"}
    second = {name.split("/")[1] for name in names if name.startswith("fivestep/")}
    assert second == {"__init__.py", "__main__.py", "py.typed", "core", "presets", "tui"}


@pytest.mark.parametrize("floor", ["core", "presets", "tui"])
def test_wheel_misses_no_file_of_a_floor(wheel: Path, tree: Path, floor: str) -> None:
    kinds = {".py", ".toml", ".tcss"}
    here = {
        f"fivestep/{path.relative_to(tree).as_posix()}"
        for path in (tree / floor).rglob("*")
        if path.suffix in kinds
    }
    assert here <= names_in(wheel)


def test_a_users_core_stays_the_users(site: Path, tmp_path: Path) -> None:
    code = "import core, fivestep; print(core.whose, fivestep.__file__)"
    out = check(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(site))
    assert out.strip() == f"the user's {site / 'fivestep' / '__init__.py'}"


def test_the_installed_wheel_runs(site: Path, tmp_path: Path) -> None:
    words = ("train", "line-linear", "--no-ui", "--epochs", "1")
    out = check(sys.executable, "-m", "fivestep", *words, cwd=tmp_path, PYTHONPATH=str(site))
    assert "finished after 1 epoch" in out
