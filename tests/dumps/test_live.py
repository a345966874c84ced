"""From a live D1 database and back into another one: the real engine judges what we write."""

import base64
import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from ulid import ULID

from local.cloudflare.emulator import Emulator
from shared.cloudflare.client import CloudflareClient, LaneClient
from shared.cloudflare.models import ImportUpload, TransferUnderWay
from shared.cloudflare.transfers import fetch_dump, put_dump
from shared.domain.budget import Lane
from shared.domain.names import binding_name
from shared.domain.worker import Role
from shared.dumps import (
    Digest,
    Live,
    check_integrity,
    differences,
    digest_live,
    digest_of,
    load_sql,
    take_snapshot,
    write_dump,
)
from shared.router.client import RouterClient
from shared.usecases.init_fleet import DIRECTORY_SCHEMA
from shared.usecases.live_database import OverRest, ThroughRouter
from shared.usecases.worker_code import WorkerCode
from tests.dumps import nasty
from tests.support.budget import Free

pytestmark = pytest.mark.workerd

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
ROUTER, SHARD = "acme-pool", "acme-pool-1"


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Account:
    """Hold an emulated account and one database in it that is full of what is hard to carry."""

    emulator: Emulator
    api: LaneClient
    http: httpx.Client
    nasty: str
    calls: list[int] = field(default_factory=list)

    def database(self, statements: Sequence[str] = ()) -> str:
        uuid = self.api.d1.create(f"t-{uuid4().hex[:26]}", "weur").uuid
        if statements:
            self.api.d1.batch(uuid, [(sql, ()) for sql in statements])
        return uuid

    def load(self, uuid: str, dump: bytes) -> None:
        md5 = hashlib.md5(dump, usedforsecurity=False).hexdigest()
        upload = self.api.d1.import_init(uuid, md5)
        assert isinstance(upload, ImportUpload)
        put_dump(self.http, upload.upload_url, dump, md5)
        step = self.api.d1.import_ingest(uuid, md5, upload.filename)
        while isinstance(step, TransferUnderWay):
            step = self.api.d1.import_poll(uuid, step.at_bookmark)

    def export(self, uuid: str) -> bytes:
        step = self.api.d1.export(uuid)
        while isinstance(step, TransferUnderWay):
            step = self.api.d1.export(uuid, step.at_bookmark)
        return b"".join(fetch_dump(self.http, step.signed_url))

    def over_rest(self, uuid: str) -> Live:
        return OverRest(self.api.d1, uuid)


@pytest.fixture(scope="module")
def account(tmp_path_factory: Any) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("emulator")
    with (
        Emulator(folder, calls=100_000).start() as emulator,
        httpx.Client(base_url=emulator.base_url) as http,
    ):
        api = CloudflareClient(
            http,
            account_id=emulator.account.account_id,
            token=emulator.api_token,
            budget=Free(),
            clock=now,
        ).on(Lane.REPAIR)
        account = Account(emulator, api, http, "")
        account.nasty = account.database(nasty.STATEMENTS)
        yield account


@pytest.fixture(scope="module")
def through_router(account: Account) -> Iterator[Live]:
    """The nasty database, bound to a shard behind a router, both in workerd."""
    api, binding = account.api, binding_name(str(ULID()))
    directory = account.database()
    api.d1.query(directory, DIRECTORY_SCHEMA)
    names = ("D1FLEET_GENERATION", "D1FLEET_FLEET_UID", "D1FLEET_SCRIPT", "D1FLEET_CODE")

    def upload(script: str, role: Role, *more: dict[str, Any]) -> None:
        values = zip(names, ("7", "uid-1", script, "c0de"), strict=True)
        texts = [{"type": "plain_text", "name": name, "text": text} for name, text in values]
        WorkerCode().upload(api.workers, role, script, [*texts, *more], "test")

    upload(SHARD, Role.SHARD, {"type": "d1", "name": binding, "database_id": account.nasty})
    upload(
        ROUTER,
        Role.ROUTER,
        {"type": "d1", "name": "D1FLEET_DIRECTORY", "database_id": directory},
        {"type": "secret_text", "name": "D1FLEET_ADMIN_SECRET", "text": SECRET},
        {"type": "service", "name": "SHARD_1", "service": SHARD},
    )
    api.workers.set_script_subdomain(ROUTER, enabled=True)
    assert account.emulator.settle()
    with httpx.Client() as http:
        router = RouterClient(
            http,
            url=f"{account.emulator.workers_url}/{ROUTER}",
            script=ROUTER,
            fleet_uid="uid-1",
            secret=lambda: SECRET,
            clock=now,
        )
        yield ThroughRouter(router, SHARD, binding)


def proven(live: Live, folder: Path, **how: int) -> tuple[bytes, Digest]:
    """Dump a live database and prove that the dump is what it holds."""
    take_snapshot(live, folder / "snapshot", **how)
    dump = b"".join(write_dump(folder / "snapshot"))
    load_sql([dump], folder / "restored", limits=True)
    check_integrity(folder / "restored")
    digest = digest_live(live)
    assert differences(digest, digest_of(folder / "restored")) == ()
    return dump, digest


def test_the_nasty_database_is_restored_over_rest(account: Account, tmp_path: Path) -> None:
    """Dumped, proven, imported by D1 into another database: the two are equal, and so are dumps."""
    dump, digest = proven(account.over_rest(account.nasty), tmp_path)
    target = account.database()
    account.load(target, dump)
    assert differences(digest, digest_live(account.over_rest(target))) == ()
    take_snapshot(account.over_rest(target), tmp_path / "again")
    assert b"".join(write_dump(tmp_path / "again")) == dump
    found = account.api.d1.query(
        target,
        "SELECT count(*) AS n FROM search('lazy'); SELECT count(*) AS n FROM letters('run');"
        "SELECT max(octet_length(doc)) AS n FROM json_docs; SELECT n FROM outer_view;"
        "SELECT count(*) AS n FROM generated WHERE c = '1x' AND b = 2;"
        "SELECT count(*) AS n FROM words WHERE term = 'run';"
        "SELECT count(*) AS n FROM journal",
        read_only=True,
    )
    assert [result.results[0]["n"] for result in found] == [1, 1, 1_000_008, 2, 1, 1, 4]


def test_the_nasty_database_is_read_through_its_binding(
    account: Account, through_router: Live, tmp_path: Path
) -> None:
    """Router and shard give what REST gives, and not one REST call is made."""
    dump, digest = proven(account.over_rest(account.nasty), tmp_path)
    before = httpx.get(f"{account.emulator.control_url}/stats").json()
    again, same = proven(through_router, tmp_path)
    assert httpx.get(f"{account.emulator.control_url}/stats").json() == before
    assert (again, same) == (dump, digest)


def test_writing_on_after_a_restore_goes_on_where_it_was(account: Account, tmp_path: Path) -> None:
    """AUTOINCREMENT gives no number twice, triggers fire, and search finds new rows."""
    dump, _ = proven(account.over_rest(account.nasty), tmp_path)
    target = account.database()
    account.load(target, dump)
    inserted = account.api.d1.query(
        target,
        "INSERT INTO empty_one (b) VALUES ('next') RETURNING a;"
        "INSERT INTO notes (title) VALUES ('zebra') RETURNING CAST(id AS TEXT) AS id;"
        "SELECT count(*) AS n FROM search('zebra'); SELECT count(*) AS n FROM journal",
    )
    assert inserted[0].results[0]["a"] == 42
    assert inserted[1].results[0]["id"] == "9007199254740994"
    assert [result.results[0]["n"] for result in inserted[2:]] == [1, 5]


def test_an_empty_database_is_restored(account: Account, tmp_path: Path) -> None:
    """A tenant that never wrote a row has a backup too."""
    dump, digest = proven(account.over_rest(account.database()), tmp_path)
    target = account.database()
    account.load(target, dump)
    assert differences(digest, digest_live(account.over_rest(target))) == ()
    assert digest.rows == 0


def test_large_tables_come_in_pages(account: Account, tmp_path: Path) -> None:
    """More rows than fit into an answer come page by page, and sampling agrees on both sides."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) "
    uuid = account.database(
        [
            "CREATE TABLE events (id TEXT PRIMARY KEY, at REAL, what TEXT) WITHOUT ROWID",
            (
                f"INSERT INTO events SELECT * FROM ({numbers}"
                " SELECT 'e' || hex(i * 7919), i / 7.0, hex(zeroblob(100)) FROM n)"
            ),
        ]
    )
    live = account.over_rest(uuid)
    dump, _ = proven(live, tmp_path, at_once=100_000)
    sampled = digest_live(live, full=1_000)
    assert differences(sampled, digest_of(tmp_path / "restored", full=1_000)) == ()
    target = account.database()
    account.load(target, dump)
    assert differences(sampled, digest_live(account.over_rest(target), full=1_000)) == ()


def test_d1s_own_export_is_proven_by_the_same_digest(account: Account, tmp_path: Path) -> None:
    """An ordinary database's export restores to what the live one holds."""
    uuid = account.database(
        [
            "CREATE TABLE notes (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT, at REAL, b BLOB)",
            "CREATE TABLE plain (a, b)",
            "INSERT INTO notes (text, at, b) VALUES ('it''s;\n', 1.5, x'00ff'), (NULL, -2, NULL)",
            "INSERT INTO plain VALUES (1, 'x'), (2, 'y'), (3, 'z')",
            "DELETE FROM plain WHERE a = 2",
            "CREATE INDEX by_text ON notes (text)",
            "CREATE VIEW texts AS SELECT text FROM notes",
            "CREATE TRIGGER t AFTER DELETE ON notes BEGIN DELETE FROM plain; END",
        ]
    )
    load_sql([account.export(uuid)], tmp_path / "restored", limits=True)
    check_integrity(tmp_path / "restored")
    digest = digest_live(account.over_rest(uuid))
    assert differences(digest, digest_of(tmp_path / "restored")) == ()


def test_the_digest_finds_what_d1s_export_loses(account: Account, tmp_path: Path) -> None:
    """An integer beyond 2^53 comes out of the export as another one: the proof names the table."""
    uuid = account.database(
        ["CREATE TABLE big (i INTEGER)", "INSERT INTO big VALUES (9007199254740993)"]
    )
    load_sql([account.export(uuid)], tmp_path / "restored", limits=True)
    digest = digest_live(account.over_rest(uuid))
    said = differences(digest, digest_of(tmp_path / "restored"))
    assert said == ("table big has other content",)
    proven(account.over_rest(uuid), tmp_path)
