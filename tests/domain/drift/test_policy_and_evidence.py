"""What the repair policy says, and when a listing is believed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.drift.evidence import Counts, Listing, says_gone, weigh
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


@pytest.mark.parametrize(
    "message",
    [
        "D1 DB reset because its code was updated.",
        "Internal error while starting up D1 DB storage caused object to be reset.",
        "Network connection lost.",
        "Cannot resolve D1 DB due to transient issue on remote node.",
        "Can't read from request stream because client disconnected.",
        "D1 DB is overloaded. Too many requests queued.",
        "D1 DB storage operation exceeded timeout which caused object to be reset.",
        "D1 DB's isolate exceeded its memory limit and was reset.",
        "Your account has exceeded D1's free tier daily row read limit",
        "no such table: notes: SQLITE_ERROR",
    ],
)
def test_what_a_database_that_is_there_may_say(message: str) -> None:
    """All that D1 documents of trouble, and whatever SQLite itself says, is no sign of absence."""
    assert not says_gone(f"D1_ERROR: {message}")


def test_what_a_binding_to_nothing_says() -> None:
    """That the database could not be found speaks for its being gone."""
    assert says_gone("D1_ERROR: The database 0b1c could not be found")


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


def doubt(seen: Listing, *, recorded: int, last: Counts | None = None) -> str | None:
    return weigh(seen, recorded=recorded, last=last, now=NOW).doubt


def test_a_listing_is_doubted() -> None:
    """One that shrank by more than we deleted and a tenth proves nothing."""
    assert doubt(listing(3), recorded=3) is None
    last = Counts(listed=200, recorded=200)
    assert doubt(listing(180), recorded=200, last=last) is None
    assert "became 179" in (doubt(listing(179), recorded=200, last=last) or "")
    assert doubt(listing(130), recorded=150, last=last) is None


@pytest.mark.parametrize(
    ("name", "uuid"),
    [(database_name("acme", "01J" + "0" * 23), "another"), ("somebody-elses", "theirs")],
)
def test_a_listing_that_repeats_has_a_flaw(name: str, uuid: str) -> None:
    """Whosever it is: what came twice pushed something else over the edge of a page."""
    seen = listing(3)
    seen.add([("somebody-elses", "theirs")])
    assert doubt(seen, recorded=3) is None
    seen.add([(name, uuid)])
    assert "twice" in (doubt(seen, recorded=3) or "")


def nights(*seen: Listing) -> list[bool]:
    """Return which of the listings of one night after another are believed, after one of 200."""
    counts, believed = Counts(200, 200), []
    for night, each in enumerate(seen):
        now = NOW + timedelta(days=night) - timedelta(seconds=night)
        counts, why = weigh(each, recorded=200, last=counts, now=now)
        believed.append(why is None)
    return believed


def flawed(count: int) -> Listing:
    seen = listing(count)
    seen.flaw = "cut short"
    return seen


def test_two_nights_confirm_one_shrinkage_alone() -> None:
    """A smaller listing is believed once a whole one of a day before was about as small."""
    assert nights(listing(100), listing(105)) == [False, True]
    assert nights(listing(100), flawed(100), listing(95)) == [False, False, True]
    assert nights(flawed(100), listing(100), listing(100)) == [False, False, True]
    assert nights(listing(100), listing(50), listing(50)) == [False, False, True]
    assert nights(listing(50), listing(100), listing(50)) == [False] * 3
    assert nights(listing(100), listing(200), listing(100)) == [False, True, False]


@given(st.lists(st.tuples(st.integers(0, 250), st.booleans()), max_size=6))
def test_a_shrinkage_is_never_believed_at_once(seen: list[tuple[int, bool]]) -> None:
    """Whatever the nights show: what is believed is no shrinkage, or was whole and alike before."""
    shown = [flawed(count) if flaw else listing(count) for count, flaw in seen]
    believed, base = nights(*shown), 200
    for night, (count, flaw) in enumerate(seen):
        if believed[night]:
            before = [other for other, has_flaw in seen[:night] if not has_flaw]
            alike = any(abs(other - count) <= max(10, other / 10) for other in before)
            assert not flaw
            assert base - count <= max(10, base / 10) or alike
            base = count


def test_a_doubt_takes_a_day() -> None:
    """Within the same night the same listing confirms nothing."""
    doubted = Counts(200, 200, NOW - timedelta(hours=23), 100)
    assert weigh(listing(100), recorded=200, last=doubted, now=NOW).counts == doubted
