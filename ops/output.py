"""What commands print: tables for people, JSON for scripts, and the exit statuses of both.

Standard output carries the result and nothing else; everything that is said besides goes to
standard error. Times are ISO 8601 in UTC.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final, TextIO

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.domain.lifecycle import iso

__all__ = ["Output", "Status", "plain", "to_json"]

WIDTH_WITHOUT_TERMINAL: Final = 400
"""Columns of a table that goes into a pipe: whoever reads it there wants it whole."""


class Status(IntEnum):
    """Name what the exit status of every command means."""

    DONE = 0
    FAILED = 1
    NEEDS_A_PERSON = 2
    INTERRUPTED = 130
    WRONG_USAGE = 64


def to_json(data: Any) -> str:
    """Return data as JSON: moments in ISO 8601 UTC, DynamoDB's decimals as numbers."""
    return json.dumps(data, indent=2, ensure_ascii=False, default=_default)


def _default(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def plain(value: Any) -> str:
    """Return a value as text that is safe on a terminal.

    Names come from customers: a control character could move the cursor or retitle the window.
    """
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}Z"
    return "".join(char if char.isprintable() else "\ufffd" for char in str(value))


@dataclass
class Output:
    """Print results, as JSON or for people."""

    as_json: bool

    def rows(
        self,
        rows: Sequence[Mapping[str, Any]],
        columns: Mapping[str, str],
        *,
        empty: str,
    ) -> None:
        """Print a list of things. `columns` maps the fields that people see to their headings."""
        if self.as_json:
            click.echo(to_json(list(rows)))
        elif not rows:
            self.note(empty)
        else:
            self._table(rows, columns)

    def thing(self, thing: Mapping[str, Any], labels: Mapping[str, str] | None = None) -> None:
        """Print one thing. `labels` maps the fields that people see to their names."""
        if self.as_json:
            click.echo(to_json(dict(thing)))
            return
        names = labels or {name: name.replace("_", " ") for name in thing}
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, label in names.items():
            table.add_row(label, Text(plain(thing.get(name))))
        console().print(table)

    def result(self, data: Mapping[str, Any], sentence: str) -> None:
        """Print what was done: the data as JSON, or one sentence for people."""
        click.echo(to_json(dict(data)) if self.as_json else plain(sentence))

    def note(self, text: str) -> None:
        """Say something besides the result."""
        click.echo(plain(text), err=True)

    @staticmethod
    def _table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for heading in columns.values():
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*(Text(plain(row.get(name))) for name in columns))
        console().print(table)


def console(stream: TextIO | None = None) -> Console:
    """Return a console on standard output, wide enough for everything when it is no terminal."""
    stream = stream or sys.stdout
    width = None if stream.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(file=stream, width=width, highlight=False)
