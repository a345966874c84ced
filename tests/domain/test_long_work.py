"""How long work is done: which way a database is copied, and how often a transfer is asked for."""

from itertools import pairwise

import pytest

from shared.domain.long_work import CopyMethod, choose_method, poll_pauses, polls_reserved


@pytest.mark.parametrize(
    ("block", "bound", "virtual", "method"),
    [
        (False, True, False, CopyMethod.SNAPSHOT),
        (True, True, False, CopyMethod.EXPORT),
        (False, False, False, CopyMethod.EXPORT),
        (True, False, False, CopyMethod.EXPORT),
        (True, True, True, CopyMethod.SNAPSHOT),
        (False, False, True, CopyMethod.SNAPSHOT),
    ],
)
def test_d1s_export_is_used_where_it_harms_nobody(
    block: bool, bound: bool, virtual: bool, method: CopyMethod
) -> None:
    """Never where the app would wait without having been asked, never with virtual tables."""
    assert choose_method(block=block, bound=bound, virtual=virtual) is method


def test_a_transfer_is_polled_often_at_first_and_within_the_functions_time() -> None:
    """Pauses grow to five seconds, and all of them leave time to prove what came."""
    pauses = list(poll_pauses())
    assert all(shorter <= longer for shorter, longer in pairwise(pauses))
    assert (pauses[0], pauses[-1]) == (0.5, 5.0)
    assert 600 < sum(pauses) < 840


def test_permits_are_taken_by_size() -> None:
    """A small database takes a handful of permits, a huge one no more than a minute's worth."""
    assert polls_reserved(0) == 4
    assert polls_reserved(200_000_000) == 14
    assert polls_reserved(10**10) == 60
