"""What the comparison of two digests says."""

import pytest

from shared.dumps.models import Digest, Sample, SchemaEntry, TableDigest, differences

NOTES = SchemaEntry(type="table", name="notes", table="notes", sql="CREATE TABLE notes (a)")
INDEX = SchemaEntry(type="index", name="by_a", table="notes", sql="CREATE INDEX by_a ON notes (a)")
ROWS = TableDigest(name="notes", rows=2, hash="aa")
WHOLE = Digest(entries=(INDEX, NOTES), tables=(ROWS,), sequences=(("notes", "7"),))


def sampled(first: str, hash_: str, *, lasting: bool) -> Digest:
    sample = Sample(first=first, last="zz", hash=hash_, lasting=lasting)
    return WHOLE.model_copy(update={"tables": (ROWS.model_copy(update={"sample": sample}),)})


def changed_table(**fields: object) -> Digest:
    return WHOLE.model_copy(update={"tables": (ROWS.model_copy(update=fields),)})


@pytest.mark.parametrize(
    ("restored", "said"),
    [
        (WHOLE, ()),
        (WHOLE.model_copy(update={"entries": (NOTES,)}), ("index by_a is missing",)),
        (
            WHOLE.model_copy(
                update={"entries": (INDEX, NOTES.model_copy(update={"sql": "CREATE TABLE notes"}))}
            ),
            ("table notes is defined differently",),
        ),
        (changed_table(rows=3), ("table notes has 3 rows, not 2",)),
        (changed_table(hash="bb"), ("table notes has other content",)),
        (
            WHOLE.model_copy(update={"sequences": (("notes", "2"),)}),
            ("the next number of table notes differs",),
        ),
    ],
)
def test_a_difference_is_said_in_words(restored: Digest, said: tuple[str, ...]) -> None:
    """Each kind of difference names what it is about, and equal digests differ in nothing."""
    assert differences(WHOLE, restored) == said


def test_what_is_too_much_is_said_too() -> None:
    """A restored database with an index of its own is not the live one."""
    live = WHOLE.model_copy(update={"entries": (NOTES,)})
    assert differences(live, WHOLE) == ("index by_a is not in the live database",)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (("aa", "11", True), ("aa", "11", True), True),
        (("aa", "11", True), ("aa", "22", True), False),
        (("aa", "11", True), ("bb", "11", True), False),
        (("aa", "11", False), ("aa", "22", False), False),
        (("aa", "11", False), ("bb", "22", False), True),
    ],
)
def test_samples_count_where_the_keys_are_the_same(
    one: tuple[str, str, bool], other: tuple[str, str, bool], equal: bool
) -> None:
    """Rows numbered anew make samples that can't be compared; other samples must agree."""
    live, restored = (sampled(f, h, lasting=lasting) for f, h, lasting in (one, other))
    assert (differences(live, restored) == ()) is equal


def test_a_digest_survives_json() -> None:
    """What was stored beside a backup compares equal when it is read again."""
    again = Digest.model_validate_json(WHOLE.model_dump_json())
    assert again == WHOLE
    assert again.sha256 == WHOLE.sha256
    assert again.rows == 2
