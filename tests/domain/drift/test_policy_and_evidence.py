"""What the repair policy says, and when a listing is believed."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.drift.evidence import Counts, Listing, doubt
from shared.domain.drift.policy import (
    DEFAULT_POLICY,
    DriftKind,
    Repairing,
    parse_policy,
    policy_rows,
)
from shared.domain.names import database_name

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
A = "01J0000000000000000000000A"


def test_policy() -> None:
    """What is named is changed, all else stays; what is not known is refused with a clear line."""
    policy = parse_policy("database_orphan=alert, schema_drift=off")
    assert policy[DriftKind.DATABASE_ORPHAN] is Repairing.ALERT
    rows = {row.kind: row for row in policy_rows(policy)}
    assert rows[DriftKind.SCHEMA_DRIFT].repairing is Repairing.OFF
    assert rows[DriftKind.SCHEMA_DRIFT].default is Repairing.ALERT
    assert parse_policy("") == DEFAULT_POLICY
    for text, said in (
        ("orphan=off", "orphan is no kind"),
        ("pool_low=maybe", "auto, alert, off"),
        ("pool_low", "kind=auto"),
        ("dlq_not_empty=auto", "only a person"),
    ):
        with pytest.raises(ValueError, match=said):
            parse_policy(text)


def listing(count: int) -> Listing:
    seen = Listing("acme")
    names = [database_name("acme", f"01J{number:023d}") for number in range(count)]
    seen.add([(name, name) for name in names])
    return seen


def test_what_is_not_ours_is_not_listed() -> None:
    """Only a name of exactly our form counts, never a mere prefix."""
    seen = Listing("acme")
    own = database_name("acme", A)
    seen.add(
        [(own, "u"), ("acme-directory", "d"), (f"{own}x", "x"), (f"b-{own}", "y"), ("acme", "z")]
    )
    assert seen.ours == {A: "u"}


def test_a_listing_is_doubted() -> None:
    """One that repeats, or shrank by more than we deleted and a tenth, proves nothing for a day."""
    twice = listing(3)
    twice.add([(database_name("acme", "01J" + "0" * 23), "again")])
    assert "twice" in (doubt(twice, recorded=3, last=None, now=NOW) or "")
    assert doubt(listing(3), recorded=3, last=None, now=NOW) is None
    last = Counts(listed=200, recorded=200)
    assert doubt(listing(180), recorded=200, last=last, now=NOW) is None
    assert "became 179" in (doubt(listing(179), recorded=200, last=last, now=NOW) or "")
    assert doubt(listing(130), recorded=150, last=last, now=NOW) is None
    waited = Counts(200, 200, doubted_since=NOW - timedelta(hours=24))
    assert doubt(listing(100), recorded=200, last=waited, now=NOW) is None
    recent = Counts(200, 200, doubted_since=NOW - timedelta(hours=23))
    assert doubt(listing(100), recorded=200, last=recent, now=NOW) is not None
