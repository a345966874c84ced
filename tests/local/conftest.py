"""A whole AWS of small functions: a template, moto in its process, handlers of the tests' own."""

import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.processes import Lifeline

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lifeline() -> Iterator[Lifeline]:
    """Tie children to the test."""
    line = Lifeline()
    yield line
    line.close()


@pytest.fixture
def handlers(tmp_path: Path) -> Callable[[str], Path]:
    """Write a module `handlers` into a folder of its own, and return the folder."""

    def write(source: str) -> Path:
        folder = tmp_path / "code"
        folder.mkdir(exist_ok=True)
        (folder / "handlers.py").write_text(textwrap.dedent(source), encoding="utf-8")
        return folder

    return write


def eventually(condition: Callable[[], object], *, within: float = 20) -> None:
    """Wait until a condition holds, at most so many seconds."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.02)
