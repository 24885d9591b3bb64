"""Breakpoints' conditions: what they say, what they refuse, when they fire."""

from __future__ import annotations

import math

import pytest

from fivestep.core.protocol.conditions import (
    DEEPEST,
    GATES,
    LONGEST,
    METRICS,
    NAMES,
    Breakpoint,
    ConditionError,
    parse,
)


@pytest.mark.parametrize(
    ("text", "values", "holds"),
    [
        ("loss > 3", {"loss": 3.5}, True),
        ("loss > 3", {"loss": 3}, False),
        ("loss>=3", {"loss": 3.0}, True),
        ("grad_norm > 1e1", {"grad_norm": 10.5}, True),
        ("lr < .5e-3", {"lr": 4e-4}, True),
        ("batch == 5 and epoch == 2", {"batch": 5, "epoch": 2}, True),
        ("step == 7", {"batches_done": 7}, True),
        ("val_worse >= 3", {"val_worse": 3}, True),
        ("accuracy < best - 0.1", {"accuracy": 0.8, "best": 0.95}, True),
        ("0 < loss < 1", {"loss": 0.5}, True),
        ("0 < loss < 1", {"loss": 1.5}, False),
        ("not (loss > 3 or loss < 1)", {"loss": 2.0}, True),
        ("1 + 2 * 3 == batch", {"batch": 7}, True),
        ("(1 + 2) * 3 == batch", {"batch": 9}, True),
        ("8 - 3 - 1 == batch", {"batch": 4}, True),
        ("8 / 4 / 2 == batch", {"batch": 1}, True),
        ("--loss == - -loss", {"loss": 1.0}, True),
        ("loss == inf", {"loss": math.inf}, True),
        ("not loss < 3 and loss > 1", {"loss": 4.0}, True),  # not binds tighter than and
        ("loss > 3 or loss > 2 and loss > 5", {"loss": 4.0}, True),  # and tighter than or
        ("update > 3\n", {"update": 4}, True),
    ],
)
def test_a_condition_says_what_it_says_in_python(text, values, holds):
    assert parse(text).holds(values) is holds


@pytest.mark.parametrize(
    ("text", "values", "holds"),
    [
        ("loss > 3", {}, False),
        ("loss > 3", {"loss": None}, False),
        ("not loss > 3", {"loss": None}, False),
        ("val_loss > 1 or loss > 1", {"loss": 2.0}, True),  # the known one decides
        ("val_loss > 1 and loss > 1", {"loss": 2.0}, False),
        ("not (val_loss > 1 and loss > 3)", {"loss": 2.0}, True),
        ("loss + val_loss > 0", {"loss": 2.0}, False),
        ("0 < loss < val_loss", {"loss": 2.0}, False),
    ],
)
def test_what_is_not_known_yet_makes_nothing_true(text, values, holds):
    assert parse(text).holds(values) is holds


def test_nan_compares_as_false_and_nonfinite_finds_it():
    nan = {"loss": math.nan, "grad_norm": 1.0}
    for sign in ("<", "<=", ">", ">=", "=="):
        assert not parse(f"loss {sign} 3").holds(nan)
        assert not parse(f"loss {sign} nan").holds(nan)
    assert parse("loss != 3").holds(nan)
    nonfinite = parse("nonfinite")
    assert nonfinite.holds(nan)
    assert nonfinite.holds({"loss": 1.0, "grad_norm": math.inf})
    assert nonfinite.holds({"loss": -math.inf})  # before backward, no norm yet
    assert not nonfinite.holds({"loss": 1.0, "grad_norm": 1.0})
    assert not nonfinite.holds({"loss": 1.0})
    assert parse("not nonfinite").holds({"loss": 1.0, "grad_norm": 1.0})
    assert not parse("not nonfinite").holds({"loss": 1.0})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 / loss", math.inf),
        ("-1 / loss", -math.inf),
        ("1 / -loss", -math.inf),
        ("1e308 * 10 * (loss + 1)", math.inf),
        ("1e308 / (loss + 1e-308)", math.inf),
    ],
)
def test_dividing_by_zero_and_overflowing_is_infinite(text, value):
    assert parse(f"{text} == {value}").holds({"loss": 0.0})
    assert not parse("loss / loss == loss / loss").holds({"loss": 0.0})


@pytest.mark.parametrize(
    ("text", "needs", "gates"),
    [
        ("loss > 3", {"loss"}, ("loss",)),
        ("grad_norm > 10 or loss > 3", {"loss", "grad_norm"}, ("loss", "update")),
        ("nonfinite", {"loss", "grad_norm"}, ("loss", "update")),
        ("batch == 5", {"batch"}, ("begin",)),
        ("step == 5", {"batches_done"}, ("end",)),
        ("loss > 2 * val_loss", {"loss", "val_loss"}, ("loss", "validation")),
        ("r2 < 0.5", {"r2"}, ("validation",)),
    ],
)
def test_a_condition_tells_what_it_needs_and_where_it_may_be_judged(text, needs, gates):
    condition = parse(text)
    assert (condition.text, condition.needs, condition.gates) == (text, needs, gates)


def test_every_name_can_be_named_and_says_what_it_is():
    for name, facts in NAMES.items():
        condition = parse(name if name == "nonfinite" else f"{name} > 1")
        assert facts.gate in condition.gates
        assert facts.gate in GATES
        assert facts.about


def test_metrics_are_those_of_the_run():
    assert parse("my_score > 1", metrics=["my_score"]).needs == {"my_score"}
    for name in METRICS:
        assert parse(f"{name} > 1").gates == ("validation",)
    with pytest.raises(ConditionError, match="did you mean r2"):
        parse("r22 > 1", metrics=["r2"])
    with pytest.raises(ConditionError, match=r'there is no "accuracy"'):
        parse("accuracy > 1", metrics=["r2"])
    # what a run calls a metric never hides a name
    assert parse("loss > 1", metrics=["loss"]).gates == ("loss",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "there is no condition"),
        ("  ", "there is no condition"),
        ("los > 3", 'column 1: there is no "los"; did you mean loss?'),
        ("Grad_Norm > 1", "did you mean grad_norm?"),
        ("nt (step < loss)", 'there is no "nt"; did you mean not?'),
        ("(no val_worse != 3)", 'there is no "no"'),
        ("los inf", 'there is no "los"; did you mean loss?'),
        ("xyzzy > 1", "known: loss, grad_norm"),
        ("loss", "column 1: a number alone is neither true nor false"),
        ("loss and batch > 2", "column 1: a number alone"),
        ("not loss", "column 5: a number alone"),
        ("loss = 3", 'column 6: "=" means nothing here; write =='),
        ("loss > 3 && lr > 1", 'column 10: "&" means nothing here; write and'),
        ("loss > 3 and", "column 13: something is missing at the end"),
        ("(loss > 3", "column 1: this bracket is never closed"),
        ("loss > 3)", 'column 9: ")" is not expected here'),
        ("loss > 3 lr", 'column 10: "lr" is not expected here'),
        ("loss > 10x", 'column 10: "x" is not expected here'),
        ("loss > and", 'column 8: "and" is not expected here'),
        ("nonfinite > 2", "column 1: what is true or false can't be compared"),
        ("loss + (lr > 1) > 2", "column 8: what is true or false"),
        ("-nonfinite", "column 2: what is true or false"),
        ("1 < 2", "this never changes"),
        ("loss > ٣", 'column 8: "٣" means nothing here'),  # a digit, but not one of ours
        ("ʟoss > 3", 'there is no "ʟoss"; did you mean loss?'),
        ("loss\x00 > 3", 'column 5: "?" means nothing here'),
        ("loss \x1b[2J > 3", 'column 6: "?" means nothing here'),
        ("__import__('os')", 'column 12: "\'" means nothing here'),
        ("loss.real > 3", 'column 5: "." means nothing here'),
        ("loss[0] > 3", 'column 5: "[" means nothing here'),
        ("loss ** 9 > 3", 'column 7: "*" is not expected here'),
        ("(lambda: loss) > 3", 'column 8: ":" means nothing here'),
        ("(lambda) > 3", 'column 2: there is no "lambda"'),
        ("(" * (DEEPEST + 1) + "loss > 1", f"column {DEEPEST + 2}: more than {DEEPEST} levels"),
        ("loss > " + "-" * (DEEPEST + 1) + "1", f"more than {DEEPEST} levels"),
        ("not " * (DEEPEST + 1) + "nonfinite", f"more than {DEEPEST} levels"),
        ("loss > 3 " + " " * LONGEST, f"{LONGEST + 9} characters are too long"),
        ("(" * 10**6, "1000000 characters are too long"),
    ],
    ids=range(38),
)
def test_a_refusal_is_one_line_that_names_the_place(text, says):
    with pytest.raises(ConditionError) as refused:
        parse(text)
    message = str(refused.value)
    assert says in message
    assert message.isprintable()
    assert isinstance(refused.value, ValueError)


def test_as_deep_and_as_long_as_allowed_is_read_and_judged():
    deep = "(" * DEEPEST + "loss > 1" + ")" * DEEPEST
    assert parse(deep).holds({"loss": 2.0})
    long = "lr" + "+1" * ((LONGEST - 4) // 2) + ">1"
    assert len(long) == LONGEST
    assert parse(long).holds({"lr": 0.0})
    huge = "*".join(["step"] * 39) + "+.5>0"  # more than a float holds
    assert parse(huge).holds({"batches_done": 10**9})


# When a breakpoint fires.


def fired(text: str, series: list[dict]) -> list[bool]:
    breakpoint_ = Breakpoint(parse(text))
    return [breakpoint_.check(values) for values in series]


def test_a_breakpoint_fires_when_its_condition_becomes_true():
    losses = [{"loss": x} for x in (1.0, 4.0, 5.0, 2.0, 6.0, math.nan, 7.0)]
    assert fired("loss > 3", losses) == [False, True, False, False, True, False, True]


def test_a_batch_number_stops_in_every_epoch():
    series = [{"batch": batch, "epoch": epoch} for epoch in (1, 2) for batch in (1, 2, 3)]
    assert fired("batch == 2", series) == [False, True, False] * 2
    assert fired("epoch == 2", series) == [False] * 3 + [True, False, False]


def test_a_number_that_is_not_known_for_a_while_does_not_fire_again():
    norms = [{"grad_norm": x} for x in (20.0, None, 30.0, None, 1.0, None, 40.0)]
    assert fired("grad_norm > 10", norms) == [True, False, False, False, False, False, True]


def test_a_true_first_half_fires_before_the_second_is_known():
    gates = [{"loss": math.nan}, {"loss": math.nan, "grad_norm": math.nan}]
    assert fired("nonfinite", gates) == [True, False]
    assert fired("loss > 3 or grad_norm > 10", [{"loss": 4.0}, {"loss": 4.0, "grad_norm": 11.0}])[0]
