"""Presets that are not fivestep's: the person's own, and those that packages bring."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fivestep.presets import registry
from fivestep.presets.recipe import RecipeError, load

RECIPE = '[dataset]\nname = "line"\n[model]\nname = "linear"\n[optimizer]\nname = "SGD"\n'


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "fivestep" / "presets"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages, one of which brings presets."""
    site = tmp_path / "site"
    for name, value in (("bringer", "bringer.recipes"), ("absent", "no_such_package")):
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[fivestep.presets]\n{name} = {value}\n")
    recipes = site / "bringer" / "recipes"
    recipes.mkdir(parents=True)
    for package in (site / "bringer", recipes):
        (package / "__init__.py").write_text("raise AssertionError('nobody imports this')")
    (recipes / "theirs.toml").write_text(RECIPE)
    (recipes / "mine.toml").write_text(RECIPE)
    monkeypatch.syspath_prepend(str(site))
    registry.package_folders.cache_clear()
    yield site
    registry.package_folders.cache_clear()


def others() -> list[tuple[str, str, str]]:
    return [(p.name, p.source, p.hidden) for p in registry.everything() if p.source]


def test_a_persons_own_preset_is_known_by_its_name(own: Path) -> None:
    (own / "mine.toml").write_text(RECIPE)
    assert others() == [("mine", "yours", "")]
    recipe = load("mine", {"epochs": 3})
    assert (recipe.name, recipe.epochs) == ("mine", 3)
    assert recipe.command == "fivestep train mine --epochs 3"
    with pytest.raises(RecipeError, match="did you mean mine"):
        load("mime")


def test_ours_win_a_name_and_the_other_is_known_as_hidden(own: Path) -> None:
    (own / "line-linear.toml").write_text(RECIPE.replace("SGD", "Adam"))
    assert others() == [("line-linear", "yours", "fivestep")]
    assert load("line-linear").optimizer.name == "SGD"
    assert load(str(own / "line-linear.toml")).optimizer.name == "Adam"


def test_a_package_brings_presets_and_nothing_of_it_is_imported(own: Path, site: Path) -> None:
    (own / "mine.toml").write_text(RECIPE)
    assert others() == [
        ("mine", "yours", ""),
        ("mine", "bringer", "yours"),
        ("theirs", "bringer", ""),
    ]
    assert load("theirs").dataset.name == "line"
    assert "bringer" not in sys.modules


@pytest.mark.parametrize("text", ["import os", "[[[", "epochs = 'x'", "\x00", "x" * 2_000_000])
def test_a_broken_one_is_refused_in_one_line(own: Path, text: str) -> None:
    (own / "broken.toml").write_text(text)
    assert others() == [("broken", "yours", "")]
    with pytest.raises(RecipeError, match=r"^broken: ") as caught:
        load("broken")
    assert "\n" not in str(caught.value)


def test_no_folder_and_no_files_are_no_presets(own: Path) -> None:
    (own / "folder.toml").mkdir()
    (own / "notes.txt").write_text("")
    (own / "dangling.toml").symlink_to("nowhere")
    assert others() == []
    assert [p.name for p in registry.everything()] == registry.names()
