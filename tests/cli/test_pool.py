"""`d1fleet pool`: how many databases are ready, why not more, and making more."""

from typing import Any

import pytest

pytestmark = pytest.mark.workerd

FIELDS = {
    *["class", "target", "ready", "making", "claimed", "waiting", "quarantined", "reason"],
    "blocked_since",
}


def test_the_status_has_a_row_a_class(stack: Any) -> None:
    """Each class with its target and its counts, in the order of the setting."""
    stack.fill()
    ran = stack.run("pool", "status", "--json")
    assert ran.status == 0
    assert [row["class"] for row in ran.data] == ["weur", "eu"]
    for row in ran.data:
        assert set(row) == FIELDS
        assert (row["target"], row["ready"], row["making"]) == (2, 2, 0)
        assert (row["reason"], row["blocked_since"]) == (None, None)


def test_a_claim_is_counted_and_made_up_for(stack: Any) -> None:
    """A tenant takes one from the pool, and filling brings another."""
    stack.fill()
    before = stack.run("pool", "status", "--json").data[0]
    stack.active("org_pool_claim")
    stack.fill()
    after = stack.run("pool", "status", "--json").data[0]
    assert (after["ready"], after["claimed"]) == (2, before["claimed"] + 1)


def test_one_class_can_be_filled_alone(stack: Any) -> None:
    """Only what was named is printed; a class that the fleet has not is refused."""
    ran = stack.run("pool", "fill", "eu", "--json")
    assert [row["class"] for row in ran.data] == ["eu"]
    ran = stack.run("pool", "fill", "oc")
    assert ran.status == 1
    assert "no class oc" in ran.stderr
    stack.fill()


def test_waiting_ends_at_once_when_the_pool_is_full(stack: Any) -> None:
    """A full pool ends with 0; one that nobody fills ends with 2 when the time is up."""
    stack.fill()
    assert stack.run("pool", "fill", "--wait", "30").status == 0
    stack.run("tenants", "provision", "org_pool_wait")
    ran = stack.run("pool", "fill", "weur", "--wait", "1", "--json")
    assert (ran.status, ran.data[0]["ready"]) == (2, 1)
    stack.fill()
