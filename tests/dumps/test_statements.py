"""A dump cut into statements, wherever the chunks are cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.sql import split
from shared.dumps import NotRestorable
from shared.dumps import statements as module
from shared.dumps.statements import statements

DUMP = """-- a comment; with a semicolon
PRAGMA defer_foreign_keys=TRUE;
CREATE TABLE "a;b" ([c;d], `e;f` TEXT DEFAULT ';' /* ; ' */, g);
/* another ; one */ INSERT INTO "a;b" VALUES ('it''s; -- no comment', 1 - -2 / 3, '/* neither');
create trigger x AFTER INSERT ON t BEGIN
  SELECT CASE WHEN 1 THEN ';' END; -- END;
  UPDATE t SET a = 1;
END;
INSERT INTO t VALUES ('END;'), (1/2);
-- the end"""
WHOLE = [one.text for one in split(DUMP)[0]]


@given(size=st.integers(1, 700), block=st.sampled_from([1, 7, 1 << 18]))
@settings(deadline=None)
def test_the_cuts_of_chunks_do_not_matter(size: int, block: int) -> None:
    """Chunks of any size give the statements that SQL's grammar says there are."""
    data = DUMP.encode()
    chunks = [data[n : n + size] for n in range(0, len(data), size)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        assert list(statements(chunks)) == WHOLE


def test_nothing_and_only_comments_are_no_statements() -> None:
    """An empty dump has none, and is not cut off."""
    assert list(statements([])) == []
    assert list(statements([b" -- a comment\n/* another; */ -- and one without an end"])) == []


@pytest.mark.parametrize("rest", ["SELECT 1", "'", "/* open", "CREATE TRIGGER t BEGIN SELECT 1;"])
def test_what_is_left_at_the_end_is_told(rest: str) -> None:
    """A statement without its end is the number that it would have been."""
    with pytest.raises(NotRestorable, match="middle of statement 2"):
        list(statements([b"SELECT 1;", rest.encode()]))
