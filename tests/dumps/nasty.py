"""A database that holds everything which is hard to carry, as statements that D1 takes."""

from shared.dumps.values import literal

WIDE = tuple(f"c{n}" for n in range(100))
MEGABYTE = "replace(hex(zeroblob(250000)),'00','a''é')"

SCHEMA = (
    (
        "CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL DEFAULT '',"
        " body TEXT, at REAL)"
    ),
    "CREATE VIRTUAL TABLE search USING fts5(title, body, content='notes', content_rowid='id')",
    (
        "CREATE TRIGGER notes_in AFTER INSERT ON notes BEGIN\n"
        "  INSERT INTO search(rowid, title, body) VALUES (new.id, new.title, new.body);\n"
        "  INSERT INTO journal(what) VALUES ('in; END; ' || new.id);\nEND"
    ),
    "CREATE TABLE journal (what TEXT)",
    "CREATE VIRTUAL TABLE letters USING fts5(subject, text, tokenize='porter unicode61')",
    "CREATE VIRTUAL TABLE words USING fts5vocab(letters, row)",
    "CREATE VIEW outer_view AS SELECT n FROM inner_view WHERE n > 0 -- later than its inner one",
    "CREATE VIEW inner_view AS SELECT count(*) AS n FROM notes",
    "CREATE TRIGGER through INSTEAD OF INSERT ON inner_view BEGIN SELECT 1; END",
    (
        "CREATE TABLE generated (a INTEGER, b INT GENERATED ALWAYS AS (a * 2) STORED,"
        " c TEXT AS (a || 'x') VIRTUAL, d BLOB)"
    ),
    "CREATE INDEX generated_c ON generated (c, a + 1) WHERE a IS NOT NULL",
    "CREATE TABLE json_docs (id TEXT PRIMARY KEY, doc TEXT CHECK (json_valid(doc)), raw BLOB)",
    f"CREATE TABLE wide ({', '.join(WIDE)})",
    (
        "CREATE TABLE pairs (a TEXT COLLATE NOCASE, b INTEGER, v, PRIMARY KEY (a, b DESC))"
        " WITHOUT ROWID"
    ),
    "CREATE TABLE blob_keys (k BLOB PRIMARY KEY, r REAL) WITHOUT ROWID",
    "CREATE TABLE strict_one (i INTEGER, r REAL, t TEXT, b BLOB, a ANY) STRICT",
    'CREATE TABLE "select" ("from" INTEGER, "a ""quoted"" \nname, 🦊" TEXT, [where] , `c0`)',
    'CREATE UNIQUE INDEX "order" ON "select" ("from")',
    'CREATE TABLE points ("to" REFERENCES "select" ("from"), back REFERENCES egg (id))',
    (
        "CREATE TABLE chicken (id INTEGER PRIMARY KEY, egg REFERENCES egg (id)"
        " DEFERRABLE INITIALLY DEFERRED)"
    ),
    (
        "CREATE TABLE egg (id INTEGER PRIMARY KEY, chicken REFERENCES chicken (id)"
        " DEFERRABLE INITIALLY DEFERRED)"
    ),
    "CREATE TABLE shadowing (rowid TEXT, oid INTEGER, x)",
    "CREATE TABLE c1 (c1 INTEGER PRIMARY KEY DESC, c0 TEXT)",
    "CREATE TABLE far (v)",
    'CREATE TABLE "--;" (";" PRIMARY KEY) WITHOUT ROWID -- ends; here',
    "CREATE TABLE reals (x REAL, any_x)",
    "CREATE TABLE texts (t)",
    "CREATE TABLE empty_one (a INTEGER PRIMARY KEY AUTOINCREMENT, b)",
)

_REALS = (
    *("1.5", "0.0", "-0.0 * 1", "9e999", "-9e999", "1e22", "123456789.125"),
    *(literal(x) for x in (5e-324, 2.225073858507201e-308, 1.7976931348623157e308, 0.1 + 0.2)),
    *(literal(x) for x in (1 / 3, -4.4938873119973723e20, 1.4401072727899572e249)),
)
_TEXTS = (
    *("''", "'it''s'", "'two\nlines\n'", "'; -- no comment'", "'/* neither'", "'🦊 é \u200d'"),
    *("CAST(x'610062' AS TEXT)", "CAST(x'ff80' AS TEXT)", "CAST(x'eda080' AS TEXT)"),
    *("'a' || char(13, 10) || 'b'", "x''", "x'00ff'", "'-- end 3 aa'", "NULL", "7", "7.0", "'7'"),
)

ROWS = (
    (
        "INSERT INTO notes (title, body, at) VALUES ('one', 'the quick fox', 1.25),"
        " ('two', NULL, 2), ('three', 'lazy dogs', 0.1)"
    ),
    "INSERT INTO notes (id, title) VALUES (9007199254740993, 'far')",
    "DELETE FROM notes WHERE id IN (2, 9007199254740993)",
    "INSERT INTO letters (rowid, subject, text) VALUES (7, 'Running', 'runners run'), (3, 5, NULL)",
    "INSERT INTO letters (letters, rank) VALUES ('rank', 'bm25(10.0, 5.0)')",
    "INSERT INTO letters (letters, rank) VALUES ('automerge', 8)",
    "INSERT INTO generated (a, d) VALUES (1, x'00'), (NULL, zeroblob(3)), (-5, 'text')",
    (
        f"INSERT INTO json_docs VALUES ('big', '{{\"a\":\"' || {MEGABYTE} || '\"}}', NULL),"
        " ('small', '[1]', zeroblob(1000000)), ('none', NULL, x'')"
    ),
    f"INSERT INTO wide VALUES ({', '.join(str(n) for n in range(100))})",
    f"INSERT INTO wide VALUES ({', '.join(['NULL'] * 100)})",
    f"INSERT INTO wide VALUES ({', '.join(['hex(zeroblob(1000))'] * 100)})",
    (
        "INSERT INTO pairs VALUES ('b', 1, 9223372036854775807), ('B', 2, -9223372036854775808),"
        " ('a', 3, 9007199254740993), ('é', 1, NULL), ('', 0, '')"
    ),
    "INSERT INTO blob_keys VALUES (x'', 1.0), (x'00', -1.5), (x'ffee', NULL), ('text', 2)",
    "INSERT INTO strict_one VALUES (1, 2, '3', x'04', 5), (NULL, NULL, NULL, NULL, '5')",
    "INSERT INTO \"select\" VALUES (1, 'a', 2, 3), (NULL, 'b', NULL, 'line\nline')",
    "INSERT INTO points VALUES (1, NULL)",
    "INSERT INTO chicken VALUES (1, NULL), (2, NULL)",
    "INSERT INTO egg VALUES (1, 2), (2, 1)",
    "UPDATE chicken SET egg = 3 - id",
    "INSERT INTO shadowing (_rowid_, rowid, oid, x) VALUES (5, 'r', 1, 2), (9, 'r', 1, 2)",
    "INSERT INTO c1 VALUES (3, 'x'), (1, 'z'), (2, 'y')",
    (
        "INSERT INTO far (rowid, v) VALUES (9223372036854775807, 'last'), (9007199254740993, 'x'),"
        " (-9223372036854775808, 'first'), (9007199254740992, 'y')"
    ),
    f"INSERT INTO reals VALUES {', '.join(f'({x}, {x})' for x in _REALS)}",
    f"INSERT INTO texts VALUES {', '.join(f'({x})' for x in _TEXTS)}",
    "INSERT INTO \"--;\" VALUES (';--'), (0.1)",
    "INSERT INTO empty_one VALUES (41, 'gone')",
    "DELETE FROM empty_one",
)

STATEMENTS = SCHEMA + ROWS
