import pytest

from local.cloudflare.sql import IncompleteInput, split


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        (" ; ;\n-- nothing\n/* at all */ ;", []),
        ("select 1", ["select 1"]),
        ("select 1; select 2;", ["select 1;", "select 2;"]),
        ("select ';' as a; select \";\" ; select `;`; select [;]", 4),
        ("select 'it''s;' ; select 2", 2),
        ("select 1 -- ; not here\n; select 2", 2),
        ("select /* ; */ 1; select 2", 2),
        ("select 'open ; for ever", 1),
        (
            "create trigger t after insert on a begin insert into b values(';'); end; select 2",
            2,
        ),
        ("create temp trigger t after insert on a begin select 1; end; select 2", 2),
        ("explain create trigger t after insert on a begin select 1; end; select 2", 2),
        (
            "create trigger t after insert on a begin select case 1 when 1 then 2 end; end; select",
            2,
        ),
        ("select 1;\r\nselect 2;\r\n", 2),
    ],
)
def test_statements_end_where_sqlite_ends_them(text: str, parts: list[str] | int) -> None:
    """Split only at semicolons that end a statement, and drop what is empty."""
    found = split(text)
    assert (len(found) if isinstance(parts, int) else found) == parts


def test_a_trigger_with_crlf_is_refused_as_by_cloudflare() -> None:
    """Refuse a compound statement whose lines end in CRLF, which the real splitter tears apart."""
    text = "create trigger t after insert on a begin\r\n select 1;\r\nend;"
    with pytest.raises(IncompleteInput, match="incomplete input: SQLITE_ERROR"):
        split(text)
    assert len(split(text.replace("\r\n", "\n"))) == 1
