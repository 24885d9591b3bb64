"""What a recipe may not say, and the one line that answers it."""

from __future__ import annotations

from typing import Any

import pytest

from fivestep.presets.build import build
from fivestep.presets.components import REFUSED_CRITERIA, REFUSED_OPTIMIZERS
from fivestep.presets.recipe import RecipeError, load, parse_set

BASE = """
[dataset]
name = "digits"
[model]
name = "mlp"
[optimizer]
name = "SGD"
"""


def refusal(name: str, overrides: dict[str, Any] | None = None, *, built: bool = False) -> str:
    """The line that answers, when the recipe is loaded or (`built`) when it is built."""
    recipe = load(name, overrides) if built else None
    with pytest.raises(RecipeError) as caught:
        build(recipe) if recipe else load(name, overrides)
    text = str(caught.value)
    assert text.isprintable(), "one line, nothing that a terminal obeys"
    return text


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("epoch = 3", ["epoch: unknown key", "did you mean epochs?"]),
        ("lr = 0.1", ["lr: unknown key", "did you mean optimizer.lr?"]),
        ("channels = [1]", ["channels: unknown key", "did you mean model.channels?"]),
        ("[optimiser]", ["optimiser: unknown key", "did you mean optimizer"]),
        ("zzz = 1", ["zzz: unknown key"]),
        ('"\\u001b]0;evil\\u0007\\n" = 1', ["unknown key"]),
        ("epochs = 0", ["epochs: expected a whole number from 1", "not 0"]),
        ("epochs = true", ["epochs: expected a whole number", "not true"]),
        ("epochs = 3.0", ["epochs: expected a whole number", "not 3.0"]),
        ('epochs = "3"', ["epochs: expected a whole number", 'not "3"']),
        ("epochs = {a = 1}", ["epochs: expected a whole number", "not a section"]),
        ("epochs = 1979-05-27", ["epochs: expected a whole number", "not a date"]),
        ("batch_size = 1000000000000", ["batch_size: expected", "to 65536"]),
        ("seed = -1", ["seed: expected a whole number from 0"]),
        ("accumulate = 0", ["accumulate: expected a whole number from 1"]),
        ("clip_norm = 0", ["clip_norm: expected a number above 0", 'or "off"']),
        ("clip_norm = nan", ["clip_norm: expected a number above 0", "not nan"]),
        ('device = "tpu"', ["device: expected auto, cpu, cuda, cuda:N or mps", 'not "tpu"']),
        ('device = "cuda:٣"', ["device: expected"]),
        ("threads = 0", ["threads: expected a whole number from 1", 'or "auto"']),
        ('threads = "all"', ["threads: expected a whole number from 1", 'or "auto"']),
        ('name = "../../etc"', ["name: expected 1 to 64 letters"]),
        ('freeze = "0.*"', ["freeze: expected a list of 0 to 32 values", 'not "0.*"']),
        ("freeze = [1]", ["freeze: expected a pattern for names of parameters", "not 1"]),
        ('freeze = ["a b"]', ["freeze: expected a pattern for names"]),
        ("description = 3", ["description: expected a text"]),
        ("model = 3", ["model: expected a section [model], not 3"]),
    ],
)
def test_top_level_keys(write: Any, line: str, says: list[str]) -> None:
    base = "" if line.startswith("model") else BASE
    text = refusal(write(f"{line}\n{base}"))
    assert "mine.toml: " in text
    for part in says:
        assert part in text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("dataset.name='digit'", ["--dataset: expected one of", "did you mean digits?"]),
        ("amp=fp8", ['--amp: expected one of off, bf16, fp16, not "fp8"']),
        ("amp=false", ["--amp: expected one of off, bf16, fp16, not false"]),
        ("compile=yes", ['--compile: expected true or false, not "yes"']),
        ("dataset.name=3", ["--dataset: expected one of line, spirals", "not 3"]),
        ("dataset.validation=1.0", ["--set dataset.validation: expected a number from 0.01"]),
        ("dataset.turns=2", ["an option of spirals; digits has validation, test, seed"]),
        ("model.name=nlp", ["--model: expected one of", "did you mean mlp?"]),
        ("model.name=cnn.__class__", ["--model: expected one of"]),
        ("model.widths=64", ["model.widths: expected a list of 1 to 16 values", "not 64"]),
        ("model.widths=[]", ["model.widths: expected a list of 1 to 16 values"]),
        ("model.widths=[1000000000]", ["model.widths: expected a whole number from 1 to 2048"]),
        ("model.width=[3]", ["model.width: an option of gpt, lstm; mlp has", "widths"]),
        ("model.widhts=[3]", ["model.widhts: unknown key; mlp has", "did you mean model.widths?"]),
        ("model.activation=rleu", ["model.activation: expected one of", "did you mean relu?"]),
        ("model.dropout=1", ["model.dropout: expected a number from 0, below 1"]),
        ("optimizer.lr=0", ["--lr: expected a number above 0", "not 0"]),
        ("optimizer.lr=nan", ["--lr: expected a number above 0", "not nan"]),
        ("optimizer.lr=inf", ["--lr: expected a number above 0", "not inf"]),
        ("optimizer.lr=true", ["--lr: expected a number above 0", "not true"]),
        ("optimizer.lr=fast", ["--lr: expected a number above 0", 'not "fast"']),
        ("optimizer.betas=[0.9,0.9]", ["an option of Adam", "SGD has lr"]),
        ("optimizer.momentun=0.9", ["unknown key; SGD has", "did you mean optimizer.momentum?"]),
        ("optimizer.name=adamz", ["--optimizer: expected one of", "did you mean Adam"]),
        ("criterion.name=MSE", ["criterion.name: expected one of", "did you mean MSELoss?"]),
        ("criterion.reduction=sum", ["criterion.reduction: unknown key; CrossEntropyLoss has"]),
        ("scheduler.name=cosin", ["scheduler.name: expected one of", "did you mean cosine?"]),
        ("scheduler.gamma=0.1", ["an option of step; none has no options"]),
        ("optimizer=adam", ["optimizer: this is a section", "such as optimizer.name"]),
        ("expect.value=1", ["expect.value: unknown key"]),
        ("a.b.c=1", ["a.b.c: unknown key"]),
        ("optimizer.lr.x=1", ["optimizer.lr.x: unknown key"]),
        (".=1", [".: unknown key"]),
    ],
)
def test_sections(write: Any, change: str, says: list[str]) -> None:
    text = refusal(write(BASE), dict([parse_set(change)]))
    for part in says:
        assert part in text


def test_a_plateau_of_a_metric_that_the_task_does_not_have(write: Any) -> None:
    plateau = '[scheduler]\nname = "plateau"\nmetric = "r2"'
    says = "scheduler.metric: validation measures accuracy, val_loss, balanced_accuracy, f1 here"
    assert says in refusal(write(BASE + plateau))


@pytest.mark.parametrize("section", ["dataset", "model", "optimizer"])
def test_what_a_recipe_must_say(write: Any, section: str) -> None:
    text = refusal(write(BASE.replace(f"[{section}]\nname", f"[{section}]\n#")))
    assert f"mine.toml: {section}.name: missing: expected one of" in text


@pytest.mark.parametrize(("name", "reason"), REFUSED_OPTIMIZERS.items())
def test_optimizers_that_need_another_loop(name: str, reason: str) -> None:
    assert f"{name} can't be used here: {reason}" in refusal(
        "digits-mlp", {"optimizer.name": name.lower()}
    )


@pytest.mark.parametrize(("name", "reason"), REFUSED_CRITERIA.items())
def test_losses_that_take_more_than_outputs_and_labels(name: str, reason: str) -> None:
    assert f"{name} can't be used here: {reason}" in refusal("digits-mlp", {"criterion.name": name})


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("epochs = ", "this is no TOML"),
        ("a = 1\na = 2", "this is no TOML"),
        (f"a = {'9' * 5000}", "this is no TOML"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        (b"\x00\xff\xfe\x80" * 100, "expected a text file in UTF-8"),
        ("#" * 1_000_001, "expected at most 1,000,000 bytes"),
    ],
)
def test_files_that_are_no_recipe(write: Any, content: str | bytes, says: str) -> None:
    text = refusal(write(content))
    assert "mine.toml: " in text
    assert says in text


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("digit-cnn", 'no preset is called "digit-cnn"; did you mean digits-cnn?'),
        ("Digits-CNN", "did you mean digits-cnn?"),
        ("qqq", "there are breast-cancer-linear, "),
        ("", "expected a recipe file"),
        ("/dev/zero", "expected a recipe file"),
        ("missing.toml", "there is no such file"),
        ("no/such/place", "there is no such file"),
        ("nul\0.toml", "there is no such file"),
        ("x" * 5000, "can't be read: File name too long"),
        ("\x1b]0;evil\x07", "no preset is called"),
    ],
)
def test_names_that_lead_nowhere(name: str, says: str) -> None:
    assert says in refusal(name)


@pytest.mark.parametrize("text", ["", "epochs", "=3", "  = 3"])
def test_set_wants_key_and_value(text: str) -> None:
    with pytest.raises(RecipeError, match="expected key=value"):
        parse_set(text)


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("docs-gpt", {"model.heads": 3}, "model: width must be a multiple of heads, but 64"),
        ("line-linear", {"optimizer.nesterov": True}, "optimizer: Nesterov momentum requires"),
        (
            "docs-gpt",
            {"model.width": 1024, "model.layers": 24},
            "model: expected at most 100,000,000 parameters",
        ),
        (
            "spirals-mlp",
            {"model.norm": "batch", "batch_size": 2399},
            "batch_size: 2399 leaves a batch of one of the 2,400 samples",
        ),
        ("line-linear", {"device": "cuda:99"}, "device"),
        (
            "digits-mlp",
            {"freeze": ["features.*", "feature.*"]},
            'freeze: "feature.*" names no parameter of mlp; there are features.1.weight',
        ),
        ("digits-mlp", {"freeze": ["[a-"]}, 'freeze: "[a-" names no parameter'),
        ("digits-mlp", {"freeze": ["*"]}, "freeze: nothing of mlp is left to learn"),
    ],
)
def test_what_only_building_shows(name: str, changes: dict[str, Any], says: str) -> None:
    assert says in refusal(name, changes, built=True)
