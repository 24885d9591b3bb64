"""Conditions against a reference: trees, judged by walking, written with the fewest brackets."""

from __future__ import annotations

import math
import operator

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fivestep.core.protocol.conditions import LONGEST, NAMES, Condition, ConditionError, parse

NUMBERS = tuple(n for n in NAMES if n != "nonfinite")
SIGNS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
FLOATS = st.floats(width=32) | st.sampled_from([0.0, 1.0, -1.0, math.inf, -math.inf, math.nan])
LITERALS = st.sampled_from(["0", "1", "2.5", ".5", "3.", "1e-3", "1E+2", "inf", "nan", "1e999"])

numbers = st.recursive(
    LITERALS.map(lambda text: ("number", text))
    | st.sampled_from(NUMBERS).map(lambda n: ("name", n)),
    lambda inner: (
        st.tuples(st.sampled_from("+-*/"), inner, inner) | st.tuples(st.just("neg"), inner)
    ),
    max_leaves=6,
)
truths = st.recursive(
    st.tuples(
        st.just("chain"),
        numbers,
        st.lists(st.tuples(st.sampled_from(list(SIGNS)), numbers), min_size=1, max_size=2),
    )
    | st.just(("nonfinite",)),
    lambda inner: (
        st.tuples(st.sampled_from(["and", "or"]), inner, inner) | st.tuples(st.just("not"), inner)
    ),
    max_leaves=5,
)
values_known = st.dictionaries(st.sampled_from(NUMBERS), st.none() | FLOATS)

LEVEL = {"or": 0, "and": 1, "not": 2, "chain": 3, "+": 4, "-": 4, "*": 5, "/": 5, "neg": 6}


def written(tree) -> str:
    """The tree as text."""
    kind = tree[0]
    level = LEVEL.get(kind, 7)

    def inner(part, least):
        text = written(part)
        return text if LEVEL.get(part[0], 7) >= least else f"({text})"

    if kind in ("number", "name"):
        return tree[1]
    if kind == "nonfinite":
        return kind
    if kind == "neg":
        return "-" + inner(tree[1], level)
    if kind == "not":
        return "not " + inner(tree[1], level)
    if kind == "chain":
        rest = "".join(f"{sign}{inner(part, 4)}" for sign, part in tree[2])
        return inner(tree[1], 4) + rest
    # what stands to the right at the same level needs its brackets
    return f"{inner(tree[1], level)} {kind} {inner(tree[2], level + 1)}"


def number(tree, values):
    """What a tree of numbers comes to; None where unknown."""
    match tree:
        case ("number", text):
            return float(text)
        case ("name", name):
            return values.get(NAMES[name].stands_for or name)
        case ("neg", inner):
            x = number(inner, values)
            return None if x is None else -x
        case (sign, left, right):
            x, y = number(left, values), number(right, values)
            if x is None or y is None:
                return None
            if sign == "/" and y == 0:
                sure = x != 0 and not math.isnan(x)
                return math.copysign(math.inf, x * math.copysign(1, y)) if sure else math.nan
            by = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
            return by[sign](x, y)


def truth(tree, values):
    """Whether a tree is true: 1, 0, or 0.5 for unknown; and is min, or is max."""
    match tree:
        case ("and", left, right):
            return min(truth(left, values), truth(right, values))
        case ("or", left, right):
            return max(truth(left, values), truth(right, values))
        case ("not", inner):
            return 1 - truth(inner, values)
        case ("nonfinite",):
            known = [values.get("loss"), values.get("grad_norm")]
            bad = [0.5 if x is None else float(not math.isfinite(x)) for x in known]
            return max(bad)
        case ("chain", first, rest):
            result, left = 1, number(first, values)
            for sign, part in rest:
                right = number(part, values)
                known = left is not None and right is not None
                result = min(result, float(SIGNS[sign](left, right)) if known else 0.5)
                left = right
            return result


def read(text: str) -> tuple[Condition | None, str]:
    """The condition, or None and why not."""
    try:
        return parse(text), ""
    except ConditionError as refused:
        return None, str(refused)


@settings(deadline=None, max_examples=60)
@given(truths, values_known)
def test_judging_agrees_with_a_reference(tree, values):
    text = written(tree)
    condition, refusal = read(text)
    if condition is None:
        assert len(text) > LONGEST or "never changes" in refusal
        return
    expected = {1: True, 0: False, 0.5: None}[truth(tree, values)]
    assert condition.evaluate(values) is expected
    assert condition.holds(values) is (expected is True)
    # what it does not say it needs is not looked at
    assert condition.evaluate({k: v for k, v in values.items() if k in condition.needs}) is expected


@settings(deadline=None, max_examples=60)
@given(st.text() | st.text(alphabet="loss<>=!()+-*/.0123456789 andotr_\\'\"", max_size=60))
@example("\ud800 > 3")
@example("loss > " + "9" * 190)
@example("__import__('os').system('true')")
@example("0" * 200)
@example("not" * 60)
def test_no_text_raises_anything_but_a_refusal(text):
    condition, refusal = read(text)
    assert refusal.isprintable()
    assert len(refusal) < 300
    if condition is not None:
        condition.holds({})
        condition.holds(dict.fromkeys(NAMES, 0.0))
