"""What was pushed can't be rewritten; new files only follow."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.migrations import FileEntry, Head, Migration, compare, order, read_migration

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def migrations(**texts: str) -> tuple[Migration, ...]:
    found = [read_migration(f"{name}.sql", text) for name, text in texts.items()]
    return tuple(sorted(found, key=lambda m: order(m.name)))


def head_of(pushed: tuple[Migration, ...]) -> Head:
    files = tuple(
        FileEntry(
            name=m.name, sha256=m.sha256, statements=1, size=1, pushed_at=NOW, pushed_by="somebody"
        )
        for m in pushed
    )
    return Head(version=1, files=files, schema_version="x", pushed_at=NOW, pushed_by="somebody")


BEFORE = migrations(n1_a="SELECT 1;", n2_b="SELECT 2;")


def test_a_file_at_the_end_is_new() -> None:
    """Only what follows the head is new."""
    comparison = compare(head_of(BEFORE), (*BEFORE, *migrations(n3_c="SELECT 3;")))
    assert comparison.findings == ()
    assert [m.name for m in comparison.new] == ["n3_c.sql"]


def test_everything_is_new_to_an_empty_fleet() -> None:
    """Without a head nothing can be rewritten."""
    assert compare(None, BEFORE).new == BEFORE


def test_an_edited_file_is_named() -> None:
    """Another checksum under a pushed name is an edit."""
    [finding] = compare(head_of(BEFORE), migrations(n1_a="SELECT 9;", n2_b="SELECT 2;")).findings
    assert finding.file == "n1_a.sql"
    assert "edited" in finding.message


def test_line_ends_and_a_byte_order_mark_are_no_edit() -> None:
    """A checkout on Windows is the same file."""
    unix = (read_migration("1.sql", "SELECT\n1;\n"),)
    windows = (read_migration("1.sql", "\ufeffSELECT\r\n1;\r\n"),)
    assert compare(head_of(unix), windows).findings == ()


def test_a_removed_file_is_named() -> None:
    """A folder without a pushed file is refused."""
    [finding] = compare(head_of(BEFORE), BEFORE[:1]).findings
    assert (finding.file, "not in the folder" in finding.message) == ("n2_b.sql", True)


def test_a_renamed_file_is_called_renamed() -> None:
    """The same text under a new name says so once."""
    [finding] = compare(head_of(BEFORE), migrations(n1_x="SELECT 1;", n2_b="SELECT 2;")).findings
    assert finding.file == "n1_a.sql"
    assert "renamed to n1_x.sql" in finding.message


def test_a_file_that_sorts_before_the_head_is_refused() -> None:
    """Databases that are past it would never get it, or get it out of order."""
    early = migrations(n1_a="SELECT 1;", n1_b="SELECT 1;", n2_b="SELECT 2;")
    [finding] = compare(head_of(BEFORE), early).findings
    assert finding.file == "n1_b.sql"
    assert "higher number" in finding.message


FILES = st.dictionaries(
    st.sampled_from([f"{n}{x}.sql" for n in ("", "1", "02", "10") for x in "ab"]),
    st.sampled_from(["SELECT 1;", "SELECT 2;"]),
)


@given(FILES, FILES)
def test_without_a_finding_the_head_is_kept_whole(
    before: dict[str, str], after: dict[str, str]
) -> None:
    """For all folders: either history stays as it was, or there is a finding."""
    old, new = (
        tuple(read_migration(name, files[name]) for name in sorted(files, key=order))
        for files in (before, after)
    )
    comparison = compare(head_of(old), new)
    kept_whole = list(comparison.kept) == [m.name for m in old]
    assert kept_whole == (not comparison.findings)
    assert (*comparison.kept, *(m.name for m in comparison.new)) == tuple(m.name for m in new)
