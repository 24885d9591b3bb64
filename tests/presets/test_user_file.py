"""A person's own file: what it may be, and the one line for what goes wrong in it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fivestep.core.protocol.steps import State
from fivestep.core.session.session import Session
from fivestep.presets.errors import RecipeError
from fivestep.presets.user_file import load_own, write_starter

RUN = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from fivestep.core.training.training import Training

def training():
    model = nn.Linear(3, 1)
    data = TensorDataset(torch.randn(20, 3), torch.randn(20, 1))
    return Training(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.1),
                    DataLoader(data, batch_size=8), epochs=4)
"""
Put = Callable[[str], str]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def put(text: str, name: str = "my_run.py") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return put


def refusal(path: str, **overrides: object) -> str:
    """The one line about a file that gives no training."""
    with pytest.raises(RecipeError) as caught:
        load_own(path, overrides).build()
    text = str(caught.value)
    assert "\n" not in text
    return text.removeprefix(str(Path(path).parent) + "/")


def test_a_file_gives_its_training_and_its_name(put: Put) -> None:
    training = load_own(put(RUN)).build()
    assert (training.epochs, training.about.name) == (4, "my_run")
    assert Session(training).run().state is State.FINISHED


def test_epochs_seed_and_threads_may_be_changed(put: Put) -> None:
    path = put(RUN)
    first, again, other = (
        load_own(path, {"epochs": 2, "seed": seed, "threads": 1}).build() for seed in (5, 5, 6)
    )
    assert (first.epochs, first.seed, first.threads) == (2, 5, 1)
    assert torch.equal(first.model.weight, again.model.weight)
    assert not torch.equal(first.model.weight, other.model.weight)


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("optimizer.lr", 0.1, "--lr: {} makes its optimizer itself"),
        ("optimizer.name", "SGD", "--optimizer: {} makes its optimizer itself"),
        ("batch_size", 3, "--batch-size: {} makes its batches itself"),
        ("model.name", "mlp", "--model: {} makes its model itself"),
        ("dataset.name", "line", "--dataset: {} makes its data itself"),
        ("device", "cpu", "--device: {} chooses its device itself"),
        ("model.dropout", 0.1, "--set model.dropout: {} makes its model itself"),
        ("nonsense", 1, "--set nonsense: a Python file has no such key"),
        ("epochs", 0, "--epochs: expected a whole number from 1"),
        ("threads", "auto", "--threads: expected a number"),
    ],
)
def test_what_the_file_decides_itself_is_refused_by_name(
    put: Put, key: str, value: object, line: str
) -> None:
    path = put("raise AssertionError('nobody runs this')")
    with pytest.raises(RecipeError) as caught:
        load_own(path, {key: value})
    assert str(caught.value).startswith(line.format(path))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("x = 1\ny = unknown\n", "my_run.py:2: NameError: name 'unknown' is not defined"),
        ("def training(:\n", "my_run.py:1: SyntaxError: invalid syntax"),
        (
            "def training():\n    import json\n    json.loads('{')",
            "my_run.py:3 in training: JSONDecodeError",
        ),
        ("import sys\nsys.exit('no')", "my_run.py:2: SystemExit: no"),
        ("raise ValueError('a\\nb\\x1b[31m')", "my_run.py:1: ValueError: a"),
        (
            "import no_such_thing",
            "my_run.py:1: ModuleNotFoundError: No module named 'no_such_thing'",
        ),
        ("", "expected a function training() that gives a Training; there is none"),
        ("training = 3", "expected a function training() that gives a Training; it is a int"),
        (
            "def training(): pass",
            "training() gave None, expected a fivestep.core.training.training.Training",
        ),
        ("def training(): return [1]", "training() gave a list, expected"),
        (
            "def training(x, *, y): pass",
            "my_run.py: training() needs x, y: --set x=... --set y=...",
        ),
        (
            "def training(x, /): pass",
            "TypeError: training() missing 1 required positional argument",
        ),
        ("if __name__ == '__main__': 1 / 0", "there is none"),
        (RUN.replace("SGD", "LBFGS"), "ValueError: optimizer: LBFGS runs forward and backward"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(put: Put, text: str, line: str) -> None:
    told = refusal(put(text))
    assert line in told
    assert "\x1b" not in told


def test_the_error_of_a_file_keeps_its_traceback(put: Put) -> None:
    with pytest.raises(RecipeError) as caught:
        load_own(put("1 / 0")).build()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_each_build_reads_the_file_and_its_neighbours_anew(put: Put, tmp_path: Path) -> None:
    path = put(RUN.replace("epochs=4", "epochs=EPOCHS") + "\nfrom neighbour import EPOCHS\n")
    own = load_own(path)
    for epochs in (3, 7):
        put(f"EPOCHS = {epochs}\nLENGTH = {'1' * epochs}\n", "neighbour.py")
        assert own.build().epochs == epochs
        assert sys.path[0] == str(tmp_path), "workers and functions import from there"
        assert sys.path.count(str(tmp_path)) == 1
    assert not list(tmp_path.glob("__pycache__/my_run*"))


def test_a_folder_without_init_is_read_anew_too(put: Put, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    path = put(RUN.replace("epochs=4", "epochs=sizes.EPOCHS") + "\nfrom parts import sizes\n")
    for epochs in (3, 7):
        put(f"EPOCHS = {epochs}\nLENGTH = {'1' * epochs}\n", "parts/sizes.py")
        own = load_own(path)
        assert own.build().epochs == epochs
        assert own.modules == [tmp_path / "parts" / "sizes.py"]


SETTINGS = (
    RUN.replace(
        "def training():",
        "def training(lr=0.5, width: int = 1, epochs=4, *, name='a', sizes=(1, 2), seed=None):",
    )
    .replace("lr=0.1", "lr=lr")
    .replace("epochs=4)", "epochs=epochs)")
)


def test_the_parameters_of_training_are_its_settings(put: Put) -> None:
    path = put(SETTINGS)
    training = load_own(path, {"optimizer.lr": 1, "sizes": [3], "name": 7, "seed": 5}).build()
    assert training.optimizer.param_groups[0]["lr"] == 1.0
    assert dict(training.about.settings) == {
        "lr": 1.0, "width": 1, "epochs": 4, "name": "7", "sizes": (3,), "seed": 5
    }  # fmt: skip
    assert load_own(path, {"epochs": 2}).build().epochs == 2
    assert load_own(path, {"epochs": 2, "sizes": ["x y"]}).command.endswith(
        """--epochs 2 --set 'sizes=["x y"]'"""
    )


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("width", 0.5, "--set width: expected a whole number, not 0.5"),
        ("optimizer.lr", "fast", '--lr: expected a number, not "fast"'),
        ("sizes", 3, "--set sizes: expected a list, not 3"),
        ("epochs", 0, "--epochs: expected a whole number from 1"),
        ("widht", 3, "--set widht: a Python file has no such key; only --epochs, --seed,"),
    ],
)  # fmt: skip
def test_a_setting_that_is_wrong_is_one_line_before_the_file_runs(
    put: Put, key: str, value: object, line: str
) -> None:
    path = put(SETTINGS + "\nraise AssertionError('nobody runs this')\n")
    with pytest.raises(RecipeError) as caught:
        load_own(path, {key: value})
    assert str(caught.value).startswith(line)


def test_an_unknown_setting_is_told_with_those_that_there_are(put: Put) -> None:
    assert refusal(put(SETTINGS), widht=3).endswith(
        "--early-stop, --set min_delta, and lr, width, name, sizes of its training(), can be "
        "changed here; did you mean width?"
    )


def test_settings_that_only_running_the_file_tells_are_passed_on(put: Put) -> None:
    put(SETTINGS, "beside.py")
    path = put("from beside import training\n")
    training = load_own(path, {"optimizer.lr": 0.25, "epochs": 2}).build()
    assert (training.optimizer.param_groups[0]["lr"], training.epochs) == (0.25, 2)
    assert "unexpected keyword argument 'depth'" in refusal(path, depth=3)
    anything = put(RUN.replace("training():", "training(**settings):") + "\nprint(1)\n")
    assert load_own(anything, {"depth": 3, "epochs": 2}).build().epochs == 2


def test_an_error_in_a_neighbour_names_it(put: Put) -> None:
    put("a = 1\nb = a.c\n", "beside.py")
    told = refusal(put("import beside"))
    assert told == "beside.py:2: AttributeError: 'int' object has no attribute 'c'"


def test_a_folder_and_nothing_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    assert refusal(str(tmp_path / "folder.py")).endswith("expected a Python file, this is none")
    assert refusal(str(tmp_path / "nothing.py")).endswith("there is no such file")
    assert refusal("a\0b.py").endswith("there is no such file")


def test_the_starting_file_trains_as_it_is(tmp_path: Path) -> None:
    file = write_starter(str(tmp_path / "mine.py"))
    assert "fivestep train" in file.read_text()
    session = Session(load_own(str(file), {"epochs": 3}).build())
    assert session.run().state is State.FINISHED
    assert session.latest().best_metric.value > 0.9


def test_the_starting_file_overwrites_nothing_and_makes_no_folder(tmp_path: Path) -> None:
    there = tmp_path / "there.py"
    there.write_text("mine")
    with pytest.raises(RecipeError, match="there already"):
        write_starter(str(there))
    assert there.read_text() == "mine"
    with pytest.raises(RecipeError, match="there is no folder"):
        write_starter(str(tmp_path / "no" / "run.py"))
    with pytest.raises(RecipeError, match=r"ends in \.py"):
        write_starter(str(tmp_path / "run.toml"))
    assert list(tmp_path.iterdir()) == [there]
