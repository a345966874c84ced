"""Values to SQL and back: exactly the same ones."""

import math
from typing import Any

import apsw
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.dumps.values import decode, hashed_form, literal, wire

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")),
)


def same(one: Any, other: Any) -> bool:
    """Compare with the types, and the two zeros as one."""
    return type(one) is type(other) and one == other


@given(VALUES)
@settings(deadline=None)
def test_a_literal_is_the_value(value: Any) -> None:
    """SQLite reads a literal and writes its wire form down: what comes out is what went in."""
    connection = apsw.Connection(":memory:")
    query = f"SELECT {wire('c')} FROM (SELECT {literal(value)} AS c)"
    ((form,),) = connection.execute(query)
    assert same(decode(form), value)


@given(st.floats(allow_nan=False))
def test_a_real_is_written_in_exact_steps(value: float) -> None:
    """Either its decimal digits are few enough to be exact, or it is integers and powers of two."""
    text = literal(value)
    if "*" not in text:
        digits = text.lstrip("-").partition("e")[0].replace(".", "").strip("0")
        assert len(digits) <= 15
        return
    whole, *factors = text.replace("/", "*1/").split("*")
    result = float(int(whole))
    for factor in factors:
        divide, power = factor.startswith("1/"), factor.rpartition("<<")[2].rstrip(")")
        step = float(1 << int(power)) if "<<" in factor else 1.0
        result = result / step if divide else result * step
    assert result == value
    assert math.isfinite(result)


@given(VALUES, VALUES)
def test_different_values_are_hashed_differently(one: Any, other: Any) -> None:
    """No two values share the form that is hashed, except the two zeros."""
    connection = apsw.Connection(":memory:")
    forms = [
        next(connection.execute(f"SELECT {wire('c')} FROM (SELECT {literal(value)} AS c)"))[0]
        for value in (one, other)
    ]
    assert (hashed_form(forms[0]) == hashed_form(forms[1])) is same(one, other)
