"""Facts of a subscription: in whatever order, and however often, the same end the same."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.subscription import MAX_FACTS, Fact, Ref, Standing, Subscription

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NEW = Subscription(provider="stripe", mode="live", subscription_id="sub_1", first_seen_at=NOW)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def fact(standing: str, when: float, **more: Any) -> Fact:
    return Fact(standing=Standing(standing), at=at(when), final=standing == "ended", **more)


@st.composite
def facts(draw: st.DrawFn) -> Fact:
    standing = draw(st.sampled_from(list(Standing)))
    return Fact(
        standing=standing,
        at=at(draw(st.integers(0, 6))),
        final=standing is Standing.ENDED and draw(st.booleans()),
        ends_at=draw(st.none() | st.just(at(99))),
        began_at=draw(st.none() | st.builds(at, st.integers(0, 3))),
    )


@given(heard=st.lists(facts(), max_size=8), data=st.data())
def test_the_order_and_the_number_of_deliveries_do_not_matter(
    heard: list[Fact], data: st.DataObject
) -> None:
    """Any permutation with duplicates, told in pieces or at once, gives the same subscription."""
    again = data.draw(st.lists(st.sampled_from(heard), max_size=4)) if heard else []
    mixed = data.draw(st.permutations([*heard, *again]))
    one_by_one = NEW
    for each in mixed:
        one_by_one = one_by_one.heard(each)
    assert one_by_one == NEW.heard(*heard)
    cut = data.draw(st.integers(0, len(mixed)))
    assert NEW.heard(*mixed[:cut]).heard(*mixed[cut:]) == one_by_one


@given(heard=st.lists(facts(), max_size=8))
def test_nothing_follows_a_final_fact(heard: list[Fact]) -> None:
    """A canceled subscription stays canceled, whatever is said before or after."""
    ended = fact("ended", 3)
    newest = NEW.heard(*heard, ended).newest
    assert newest is not None
    assert newest.final


def test_the_newest_counts_and_of_two_at_once_the_one_that_serves() -> None:
    """A failed payment that is mended within the same second ends as mended."""
    late, mended = fact("past_due", 5), fact("active", 5)
    for order in ([late, mended], [mended, late]):
        assert NEW.heard(fact("suspended", 1), *order).newest == mended
    assert NEW.heard(mended, fact("suspended", 4)).newest == mended


@pytest.mark.parametrize("mended_late", [False, True])
def test_past_due_counts_from_its_first_word_since_the_last_mending(mended_late: bool) -> None:
    """A mending that is heard late still cuts the stretch that it was in the middle of."""
    words = [fact("active", 0), fact("past_due", 1), fact("past_due", 9), fact("past_due", 12)]
    before = NEW.heard(*words)
    assert before.past_due_since == at(1)
    mended = (
        before.heard(fact("active", 4)) if mended_late else NEW.heard(fact("active", 4), *words)
    )
    assert mended.past_due_since == at(9)
    assert mended.heard(fact("active", 13)).past_due_since is None


def test_a_subscription_stays_small() -> None:
    """Hundreds of reminders keep their first word, and no more than a fixed number of others."""
    reminders = [fact("past_due", number) for number in range(10, 400)]
    one_by_one = NEW.heard(fact("active", 0))
    for each in reminders:
        one_by_one = one_by_one.heard(each)
    assert len(one_by_one.facts) <= MAX_FACTS
    assert one_by_one.past_due_since == at(10)
    assert one_by_one.newest == reminders[-1]


def test_what_is_known_already_changes_nothing() -> None:
    """A fact heard twice gives the very same object, so that nothing is written for it."""
    told = NEW.heard(fact("active", 1), fact("past_due", 2))
    assert told.heard(fact("active", 1)) is told
    assert told.heard(fact("suspended", 0)) is told


def test_the_episode_is_that_of_the_newest_word() -> None:
    """Later words take a subscription along into the tenant's next life; an ended one stays."""
    first = NEW.heard(fact("active", 1), episode=1)
    assert first.heard(fact("past_due", 0), episode=2).episode == 1
    assert first.heard(fact("past_due", 2), episode=2).episode == 2
    ended = first.heard(fact("ended", 2), episode=1)
    assert ended.heard(fact("ended", 3), fact("active", 4), episode=2).episode == 1


def test_it_survives_the_table() -> None:
    """What is written as plain values is read back as it was."""
    told = NEW.heard(fact("past_due", 1, ends_at=at(9), began_at=at(0), said="past_due"))
    assert Subscription.model_validate(told.model_dump(exclude_none=True)) == told


@pytest.mark.parametrize("text", ["", "stripe", "stripe:live", "stripe:staging:sub_1"])
def test_a_name_that_is_none_is_refused(text: str) -> None:
    """A message's id that nobody wrote is an error, not a guess."""
    with pytest.raises(ValueError, match=r"mode|unpack"):
        Ref.of_message(text)


@pytest.mark.parametrize("mode", ["live", "test"])
def test_a_name_travels_in_a_message(mode: Any) -> None:
    """An id with colons in it arrives whole."""
    ref = Ref("polar", mode, "a:b:c")
    assert Ref.of_message(ref.message_id) == ref
