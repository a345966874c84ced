"""A migration that only D1 refuses: nothing half migrated is ever ready, and it can be mended."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.running import ROOT, Running, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.workerd]

FIRST = (ROOT / "examples" / "migrations" / "0001_notes.sql").read_bytes()
# SQLite itself knows this function, so that the trial before the push finds nothing wrong with it.
WRONG = "CREATE TABLE half (v TEXT);\nINSERT INTO half VALUES (sqlite_version());\n"
MENDED = "CREATE TABLE half (v TEXT);\nINSERT INTO half VALUES ('whole');\n"


def folder_with(folder: Path, second: str) -> str:
    folder.mkdir()
    (folder / "0001_notes.sql").write_bytes(FIRST)
    (folder / "0002_half.sql").write_text(second, encoding="utf-8")
    return str(folder)


def tables(quick: Running, uuid: str | None) -> set[str]:
    sql = "SELECT name FROM sqlite_master WHERE type = 'table'"
    (answer,) = quick.api("POST", f"/d1/database/{uuid}/query", json={"sql": sql})
    return {row["name"] for row in answer["results"]}


def pool_row(quick: Running) -> dict[str, Any]:
    (row,) = quick.cli("pool", "status")
    return dict(row)


def test_a_migration_that_d1_refuses_stops_the_pool_until_it_is_mended(
    quick: Running, tmp_path: Path
) -> None:
    """Status and log name the file; nothing is half migrated; after a mended push all goes on."""
    logged = len(quick.log("provision"))
    quick.cli("migrations", "push", folder_with(tmp_path / "wrong", WRONG))
    wait_until("the pool is stopped", lambda: pool_row(quick)["reason"])
    assert "0002_half.sql" in pool_row(quick)["reason"]
    assert "0002_half.sql" in quick.log("provision")[logged:]

    # The pool gives what it has; whoever gets it waits as failed, with a reason for a person.
    quick.sign_up("org_unlucky")
    unlucky = wait_until(
        "it failed",
        lambda: (
            found if (found := quick.tenant("org_unlucky")) and found.status == "failed" else None
        ),
    )
    assert "0002_half.sql" in (unlucky.reason or "")
    url = quick.notes_url("org_unlucky")
    wait_until("the app is told", lambda: quick.http.get(url).status_code == 503)
    everything = [
        database
        for status in ("ready", "claimed", "migrating", "quarantined")
        for database in quick.pool(status)
    ]
    assert len(everything) >= 3
    assert all("half" not in tables(quick, database.database_id) for database in everything)
    assert {database.schema_version for database in quick.pool()} <= {"0001_notes.sql"}

    quick.cli("migrations", "push", folder_with(tmp_path / "mended", MENDED))
    wait_until("the pool fills again", lambda: is_full_with(quick, "0002_half.sql"), within=90)
    assert pool_row(quick)["reason"] is None
    for database in quick.pool():
        assert "half" in tables(quick, database.database_id)
    quick.cli("tenants", "retry", "--failed")
    quick.wait_active("org_unlucky")
    assert quick.notes("org_unlucky") == []
    assert "half" in tables(quick, unlucky.database_id)


def is_full_with(quick: Running, version: str) -> bool:
    ready = quick.pool()
    return len(ready) >= 3 and {database.schema_version for database in ready} == {version}
