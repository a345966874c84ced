"""`d1fleet findings`: what is not as it should be, and a person's word about it."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared.aws.table import Delete
from shared.domain.finding import Severity, Sighting, fingerprint
from shared.usecases.findings import KeepFindings

pytestmark = pytest.mark.workerd

KIND = "binding_missing"


def seen(number: int, severity: Severity = Severity.WARNING, kind: str = KIND) -> Sighting:
    return Sighting(
        kind,
        f"db-{number}",
        severity,
        f"database {number} is not bound",
        tenant_id=f"org_{number}",
        database_name=f"f-{number}",
        repair="rebind",
        evidence={"shard": "f-pool-1"},
    )


@pytest.fixture(autouse=True)
def _nothing_stands(stack: Any) -> None:
    """Forget what the tests of other commands were told of: the stack is everybody's."""
    forget(stack)


def forget(stack: Any) -> None:
    table, store = stack.parts.control.state.table, KeepFindings(stack.parts.control).store
    for item in [*table.query("OUTBOX"), *store.standing(), *store.resolved()]:
        key = item if isinstance(item, dict) else {"pk": f"FINDING#{item.fingerprint}"}
        table.write(Delete({"pk": str(key["pk"]), "sk": str(key.get("sk", "META"))}))


@pytest.fixture
def found(stack: Any) -> Iterator[Any]:
    """The stack with two findings that stand and one that ended; nothing of them stays."""
    keep = KeepFindings(stack.parts.control)
    sightings = [seen(1), seen(2, Severity.CRITICAL), seen(3, kind="schema_drift")]
    keep(sightings, compared=(), trace="t")
    keep((), compared={"schema_drift"}, trace="t")
    yield stack
    forget(stack)


def test_nothing_is_wrong(stack: Any) -> None:
    """An empty list, and status 0."""
    ran = stack.run("findings", "list", "--json")
    assert (ran.status, ran.data) == (0, [])
    assert "nothing is wrong" in stack.run("findings", "list").stderr


def test_what_stands_is_listed_the_worst_first(found: Any) -> None:
    """Status 2, and the fields that scripts read."""
    ran = found.run("findings", "list", "--json")
    assert ran.status == 2
    assert [(row["tenant_id"], row["severity"]) for row in ran.data] == [
        ("org_2", "critical"),
        ("org_1", "warning"),
    ]
    row = ran.data[0]
    assert {name: row[name] for name in ("kind", "state", "repair", "database_name")} == {
        "kind": KIND,
        "state": "open",
        "repair": "rebind",
        "database_name": "f-2",
    }
    assert (row["database_id"], row["binding"]) == (None, None)
    assert row["fingerprint"] == fingerprint(KIND, "db-2")
    assert row["first_seen"].endswith("Z")
    assert "database 1 is not bound" in found.run("findings", "list").stdout


def test_a_kind_or_everything(found: Any) -> None:
    """`--kind` keeps one kind, `--all` adds what ended."""
    assert found.run("findings", "list", "--kind", "pool_low", "--json").data == []
    ended = found.run("findings", "list", "--all", "--kind", "schema_drift", "--json")
    assert (ended.status, [row["state"] for row in ended.data]) == (0, ["resolved"])
    assert len(found.run("findings", "list", "--all", "--json").data) == 3


def test_somebody_cares(found: Any) -> None:
    """Acked ones stand and need nobody else; the change is in the answer."""
    names = [fingerprint(KIND, f"db-{number}") for number in (1, 2)]
    ran = found.run("findings", "ack", *names, "--json")
    assert (ran.status, {row["state"] for row in ran.data}) == (0, {"acked"})
    ran = found.run("findings", "list", "--json")
    assert (ran.status, len(ran.data)) == (0, 2)
    again = found.run("findings", "ack", names[0], "--json")
    assert again.data[0]["acked_at"] == ran.data[1]["acked_at"]


def test_it_is_over(found: Any) -> None:
    """Resolved by a person, with a message for the others; what is not there is said."""
    name = fingerprint(KIND, "db-1")
    ran = found.run("findings", "resolve", name, "0" * 32, "--json")
    assert (ran.status, [row["fingerprint"] for row in ran.data]) == (1, [name])
    assert f"no finding {'0' * 32}" in ran.stderr
    assert ran.data[0]["resolved_why"].startswith("resolved by operator")
    rows = found.parts.control.state.table.query("OUTBOX")
    ends = [row["detail"]["fingerprint"] for row in rows if row["detail"]["state"] == "resolved"]
    assert name in ends
