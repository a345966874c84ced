"""`d1fleet breaker`: whether deletes are stopped, and a person's word that they may go on."""

from collections.abc import Iterator
from typing import Any

import pytest

import ops.asking
from shared.aws.table import Delete

pytestmark = pytest.mark.workerd

REASON = "7 databases are due"


@pytest.fixture
def opened(stack: Any) -> Iterator[Any]:
    """The stack with its deletes stopped."""
    control = stack.parts.control
    control.state.commit(also=[control.breaker.open(control.breaker.read(), REASON, control.now())])
    yield stack
    control.state.table.write(Delete({"pk": "BREAKER", "sk": "META"}))


def test_deletes_that_are_not_stopped(stack: Any) -> None:
    """Nothing was deleted, nothing is due, and the setting's least may be."""
    ran = stack.run("breaker", "status", "--json")
    assert (ran.status, ran.data["open"], ran.data["reason"]) == (0, False, None)
    assert (ran.data["due"], ran.data["most"], ran.data["allowed_until"]) == (0, 5, None)
    assert set(ran.data) == {"open", "reason", "opened_at", "done", "due", "most", "allowed_until"}


def test_deletes_that_are_stopped_need_a_person(opened: Any) -> None:
    """Status 2 and the reason, in JSON as for people."""
    ran = opened.run("breaker", "status", "--json")
    assert (ran.status, ran.data["open"], ran.data["reason"]) == (2, True, REASON)
    assert ran.data["opened_at"].endswith("Z")
    assert REASON in opened.run("breaker", "status").stdout


def test_only_a_person_lets_them_go_on(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `--yes` and without a terminal nothing happens; a no is a no; a yes confirms."""
    assert opened.run("breaker", "reset").status == 64
    assert opened.run("breaker", "status").status == 2
    monkeypatch.setattr(ops.asking, "_terminal", lambda: True)
    ran = opened.run("breaker", "reset", typed="n\n")
    assert (ran.status, "nothing was done" in ran.stderr) == (1, True)
    assert opened.run("breaker", "status").status == 2
    ran = opened.run("breaker", "reset", "--json", "--yes")
    assert (ran.status, ran.data["open"], ran.data["confirmed"]) == (0, False, 0)
    assert ran.data["allowed_until"].endswith("Z")
    assert opened.run("breaker", "status").status == 0
