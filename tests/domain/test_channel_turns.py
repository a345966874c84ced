"""How much of one invocation a channel of alerts may have."""

from datetime import timedelta

from shared.domain.channel_turns import TIME_EACH, TIME_IN_ALL, Turns

QUICK = timedelta(milliseconds=200)


def test_who_fails_twice_had_enough() -> None:
    """Once may pass; what is taken in between takes nothing back, and nobody else pays for it."""
    turns = Turns()
    turns.note("chat", QUICK, failed=True)
    turns.note("chat", QUICK, failed=False)
    assert not turns.had_enough("chat")
    turns.note("chat", QUICK, failed=True)
    assert turns.had_enough("chat")
    assert not turns.had_enough("pager")


def test_who_is_slow_had_enough() -> None:
    """The time of all its alerts counts together."""
    turns = Turns()
    turns.note("chat", TIME_EACH / 2, failed=False)
    assert not turns.had_enough("chat")
    turns.note("chat", TIME_EACH / 2, failed=False)
    assert turns.had_enough("chat")
    assert not turns.had_enough("pager")


def test_all_of_them_together_have_an_end() -> None:
    """The sweep has more to do than to tell: then nobody is asked, nor who never was."""
    turns = Turns()
    channels = [f"channel-{number}" for number in range(10)]
    nearly = TIME_EACH - QUICK
    asked = 0
    while not turns.had_enough(channels[asked]):
        turns.note(channels[asked], nearly, failed=False)
        asked += 1
    assert TIME_IN_ALL <= nearly * asked < TIME_IN_ALL + TIME_EACH
    assert all(turns.had_enough(channel) for channel in channels)
