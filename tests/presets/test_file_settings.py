"""What a file's `training()` takes, and the values that fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fivestep.presets.file_settings import FileSettings, read_settings


def settings(tmp_path: Path, parameters: str) -> FileSettings:
    file = tmp_path / "run.py"
    file.write_text(f"def training({parameters}):\n    raise AssertionError\n")
    return read_settings(file)


@pytest.mark.parametrize(
    ("parameter", "typed", "argument"),
    [
        ("x=1", 7, 7),
        ("x=0.1", 7, 7.0),
        ("x=0.1", ".5", 0.5),
        ("x: float = BASE", 1, 1.0),
        ("x=True", False, False),
        ("x='a'", 7, "7"),
        ("x: 'str' = A", "b", "b"),
        ("x: Path = Path('a')", "b", Path("b")),
        ("x=(1, 2)", [3], (3,)),
        ("x: list[int] = []", [3], [3]),
        ("x: int | None = None", "none", None),
        ("x: int | None = None", 3, 3),
        ("x: Optional[float] = 2", 3, 3.0),
        ("x: Literal['relu', 'gelu'] = 'relu'", "gelu", "gelu"),
        ("x=compute()", {"a": 1}, {"a": 1}),
        ("x: float = math.inf", float("inf"), float("inf")),
        ("x='a'", float("nan"), "nan"),
    ],
)
def test_a_value_that_fits(tmp_path: Path, parameter: str, typed: Any, argument: Any) -> None:
    one = settings(tmp_path, parameter).known["x"]
    made = one.argument(one.check(typed))
    assert made == argument
    assert type(made) is type(argument)


@pytest.mark.parametrize(
    ("parameter", "typed", "line"),
    [
        ("x=1", 0.5, "expected a whole number, not 0.5; x: float = 1 in the file allows it"),
        ("x: int = 1", 0.5, "expected a whole number, not 0.5"),
        ("x=1", True, "expected a whole number, not true"),
        ("x=1", "none", 'expected a whole number, not "none"'),
        ("x=0.1", "fast", 'expected a number, not "fast"'),
        ("x=0.1", float("nan"), "expected a number, not nan"),
        ("x=0.1", "1e999", "expected a number, not inf"),
        ("x=1", float("-inf"), "expected a whole number, not -inf"),
        ("x=None", float("nan"), "expected a number, not nan"),
        ("x=True", 1, "expected true or false, not 1"),
        ("x=[1]", 1, "expected a list, not 1"),
        ("x: Path = A", 1, "expected a path, not 1"),
        ("x: Literal['relu', 'gelu'] = 'relu'", "relo", "expected one of relu, gelu, not"),
    ],
)
def test_a_value_that_does_not(tmp_path: Path, parameter: str, typed: Any, line: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        settings(tmp_path, parameter).known["x"].check(typed)
    assert str(caught.value).startswith(line)


def test_what_must_be_given_and_what_may_be(tmp_path: Path) -> None:
    found = settings(tmp_path, "a, b=1, *, c, d=2")
    assert (list(found.known), found.missing, found.open) == (list("abcd"), {"a", "c"}, False)
    assert settings(tmp_path, "**more").open
    assert settings(tmp_path, "") == FileSettings()


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("from elsewhere import training", True),
        ("import a\ntraining = a.make", True),
        ("@wrapped\ndef training(a): ...", True),
        ("if True:\n    def training(a): ...", True),
        ("def training(:", True),
        ("x = 1", False),
    ],
)
def test_where_only_running_the_file_tells(tmp_path: Path, text: str, unknown: bool) -> None:
    file = tmp_path / "run.py"
    file.write_text(text)
    assert read_settings(file) == FileSettings(open=unknown)
