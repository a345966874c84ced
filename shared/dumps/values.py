"""Values on their way: out of a live database as JSON, and into a dump as SQL, always exactly.

JSON, and JavaScript on the way to it, lose integers beyond 2^53, infinities, and text that is no
UTF-8 or holds a NUL. So SQL itself writes each value down before it leaves, the *wire form*::

    NULL       null
    REAL       a number; 'p' and 'm' for plus and minus infinity
    INTEGER    'i' and its decimal digits
    TEXT       't' and its bytes in hex       'T' and the number of bytes, if it is long
    BLOB       'b' and its bytes in hex       'B' and the number of bytes, if it is long

A zero's sign is lost, as it is in SQLite's own text form; the two zeros are equal everywhere in it.
"""

import math
from collections.abc import Iterable
from typing import Any, Final

from shared.dumps.models import Value

__all__ = [
    "LONG",
    "decode",
    "has_surrogates",
    "hashed_form",
    "literal",
    "piece",
    "quoted",
    "text_fits_literal",
    "wire",
]

LONG: Final = 900_000
"""Bytes of a value whose hex still fits into D1's longest string (2,000,000 bytes)."""

_EXACT_DIGITS: Final = 15
_EXACT_POWER: Final = 22
_SHIFT: Final = 62


def quoted(name: str) -> str:
    """Return a name as SQL may take it anywhere."""
    return '"' + name.replace('"', '""') + '"'


def wire(column: str) -> str:
    """Return the SQL expression of a column's wire form."""
    return (
        f"CASE typeof({column}) WHEN 'integer' THEN 'i'||{column}"
        f" WHEN 'text' THEN {_bytes(column, 't')} WHEN 'blob' THEN {_bytes(column, 'b')}"
        f" WHEN 'real' THEN CASE {column} WHEN 9e999 THEN 'p' WHEN -9e999 THEN 'm' ELSE {column}"
        " END END"
    )


def _bytes(column: str, tag: str) -> str:
    size = f"octet_length({column})"
    return f"iif({size}>{LONG},'{tag.upper()}'||{size},'{tag}'||hex({column}))"


def piece(column: str, start: int, size: int) -> str:
    """Return the SQL expression of `size` bytes of a long value, in hex; `start` counts from 0."""
    return f"hex(substr(CAST({column} AS BLOB),{start + 1},{size}))"


def decode(form: Any) -> Value:
    """Return the value of a wire form, which must not be one of a long value."""
    if form is None:
        return None
    if isinstance(form, str):
        tag = form[:1]
        if tag == "t":
            return bytes.fromhex(form[1:]).decode("utf-8", "surrogateescape")
        if tag == "i":
            return int(form[1:])
        if tag == "b":
            return bytes.fromhex(form[1:])
        return math.inf if tag == "p" else -math.inf
    return float(form)


def hashed_form(form: Any) -> bytes:
    """Return what stands for a value's wire form in a hash; no two forms share one."""
    if form is None:
        return b"n;"
    if isinstance(form, str):
        return form.encode() + b";"
    return f"r{(float(form) + 0.0).hex()};".encode()  # minus zero plus zero is zero


def literal(value: Value) -> str:
    """Return the SQL expression that is exactly this value, in D1's SQLite as in any other."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        if text_fits_literal(value):
            return "'" + value.replace("'", "''") + "'"
        return f"CAST(x'{value.encode('utf-8', 'surrogateescape').hex()}' AS TEXT)"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return _real(value) if isinstance(value, float) else str(value)


def text_fits_literal(text: str) -> bool:
    """Say whether a text may stand in quotes: valid, without NUL, which ends SQL, and without CR.

    A CR might be taken for a part of a line's end by whatever carries the dump.
    """
    return "\0" not in text and "\r" not in text and not has_surrogates(text)


def has_surrogates(text: str) -> bool:
    """Say whether a text holds bytes that are no UTF-8."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _real(value: float) -> str:
    if math.isinf(value):
        return "9e999" if value > 0 else "-9e999"
    short = repr(value)
    if value == 0 or _read_exactly(short):
        return short
    # SQLite's reading of decimals is off by a bit for some numbers of 16 and 17 digits, and how
    # depends on its version. Integers below 2^53 and powers of two are exact in each, and so is
    # what they come to, since the result is a double.
    mantissa, exponent = math.frexp(value)
    whole, exponent = int(mantissa * 2**53), exponent - 53
    zeros = (whole & -whole).bit_length() - 1
    whole, exponent = whole >> zeros, exponent + zeros
    sign = "*" if exponent > 0 else "/"
    return f"{whole}*1.0" + "".join(f"{sign}(1<<{shift})" for shift in _shifts(abs(exponent)))


def _read_exactly(short: str) -> bool:
    """Say whether both digits and power of ten are exact as doubles, so that nobody errs."""
    digits, _, power = short.lstrip("-").partition("e")
    whole, _, fraction = digits.partition(".")
    exponent = int(power or 0) - len(fraction)
    significant = (whole + fraction).lstrip("0")
    return len(significant) <= _EXACT_DIGITS and abs(exponent) <= _EXACT_POWER


def _shifts(exponent: int) -> Iterable[int]:
    while exponent > 0:
        yield min(exponent, _SHIFT)
        exponent -= _SHIFT
