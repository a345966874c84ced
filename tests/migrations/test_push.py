"""A push is there as a whole or not at all, for good, whoever else pushes."""

import sqlite3
import threading
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from shared.aws.migrations import MigrationStore
from shared.domain.migrations import BadMigrations, Head, Migration
from shared.errors import Conflict, Permanent, Transient
from shared.usecases.push_migrations import Pushed, push_migrations, read_folder

BUCKET = "fleet-bucket"
ONE = {"0001_notes.sql": "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT);"}
TWO = {**ONE, "0002_tags.sql": "CREATE TABLE tags (name TEXT); INSERT INTO tags VALUES ('a;b');"}


def push(world: Any, clock: Any, files: dict[str, str], **more: Any) -> Pushed:
    return push_migrations(world.store(), files, now=clock, pushed_by="tester", **more)


def test_pushed_files_come_back_as_statements(world: Any, clock: Any) -> None:
    """Another process reads the head and each file's statements, in order."""
    pushed = push(world, clock, TWO)
    assert pushed.new == ("0001_notes.sql", "0002_tags.sql")
    store = world.store()
    head = store.head()
    assert head == pushed.head
    assert (head.version, head.schema_version) == (1, "0002_tags.sql")
    assert [entry.statements for entry in head.files] == [1, 2]
    files = store.files(head)
    assert [file.name for file in files] == ["0001_notes.sql", "0002_tags.sql"]
    assert files[1].statements == (
        "CREATE TABLE tags (name TEXT);",
        "INSERT INTO tags VALUES ('a;b');",
    )
    assert files[1].lines == (1, 1)


def test_nothing_pushed_is_no_head(world: Any) -> None:
    """A fleet without migrations has no head."""
    assert world.store().head() is None


def test_pushing_the_same_again_changes_nothing(world: Any, clock: Any) -> None:
    """The head keeps its version and its time."""
    first = push(world, clock, TWO)
    again = push(world, clock, TWO)
    assert not again.changed
    assert again.head == first.head == world.store().head()


def test_a_new_file_moves_the_head(world: Any, clock: Any) -> None:
    """Old entries keep who pushed them and when."""
    first = push(world, clock, ONE).head
    second = push(world, clock, TWO)
    assert second.new == ("0002_tags.sql",)
    assert second.head.version == 2
    assert second.head.files[0] == first.files[0]


@pytest.mark.parametrize(
    "files",
    [
        {**TWO, "0001_notes.sql": "CREATE TABLE notes (id);"},
        ONE,
        {"0001_memos.sql": ONE["0001_notes.sql"], "0002_tags.sql": TWO["0002_tags.sql"]},
        {**TWO, "0001_z.sql": "SELECT 1;"},
    ],
    ids=["edited", "removed", "renamed", "too early"],
)
def test_history_is_not_rewritten(world: Any, clock: Any, files: dict[str, str]) -> None:
    """A refused push leaves head and bucket as they were."""
    before = push(world, clock, TWO).head
    keys = world.keys()
    with pytest.raises(BadMigrations):
        push(world, clock, files)
    assert (world.store().head(), world.keys()) == (before, keys)


@pytest.mark.parametrize("text", ["CREATE TABEL x (a);", "BEGIN;", "SELECT 1"])
def test_a_bad_file_is_refused_before_anything_is_stored(world: Any, clock: Any, text: str) -> None:
    """The error names the file and the line."""
    with pytest.raises(BadMigrations, match=r"0003_x\.sql:1: ") as error:
        push(world, clock, {**TWO, "0003_x.sql": text})
    assert error.value.findings
    assert (world.store().head(), world.keys()) == (None, [])


def test_what_only_d1_can_judge_passes_with_a_warning(world: Any, clock: Any) -> None:
    """An unknown function does not stop a push: D1 may have it."""
    pushed = push(world, clock, {**ONE, "0002_x.sql": "INSERT INTO notes SELECT nobody(1), 2;"})
    assert [warning.file for warning in pushed.warnings] == ["0002_x.sql"]
    assert world.store().head() == pushed.head


def test_the_trial_can_be_left_out(world: Any, clock: Any) -> None:
    """Who knows better than this machine's SQLite may push what it can't parse."""
    files = {"1.sql": "CREATE TABEL x (a);"}
    assert push(world, clock, files, trial=False).new == ("1.sql",)


def test_no_files_are_no_push(world: Any, clock: Any) -> None:
    """An empty folder is a mistake, not a wish."""
    with pytest.raises(Permanent, match="no migration file"):
        push(world, clock, {})


def names(*found: str) -> Any:
    return lambda _head: frozenset(found)


def test_a_file_that_no_database_has_can_be_mended(world: Any, clock: Any) -> None:
    """A broken file that D1 refused everywhere is replaced in place."""
    push(world, clock, {**ONE, "0002_tags.sql": "INSERT INTO nowhere VALUES (1);"})
    mended = push(world, clock, TWO, applied=names("0001_notes.sql"))
    assert (mended.new, mended.replaced) == ((), ("0002_tags.sql",))
    assert mended.head.version == 2
    assert world.store().files(mended.head)[1].statements[0] == "CREATE TABLE tags (name TEXT);"


def test_a_file_that_no_database_has_can_be_taken_back(world: Any, clock: Any) -> None:
    """Removing it moves the head back by one file, and its version on."""
    push(world, clock, TWO)
    after = push(world, clock, ONE, applied=names("0001_notes.sql"))
    assert (after.removed, after.changed) == (("0002_tags.sql",), True)
    assert (after.head.version, after.head.schema_version) == (2, "0001_notes.sql")


def test_a_file_that_one_database_has_stays(world: Any, clock: Any) -> None:
    """One database is enough to make a file history."""
    push(world, clock, TWO)
    with pytest.raises(BadMigrations, match="edited"):
        push(
            world,
            clock,
            {**TWO, "0002_tags.sql": "SELECT 1;"},
            applied=names("0001_notes.sql", "0002_tags.sql"),
        )


def test_a_trigger_with_crlf_arrives_whole(world: Any, clock: Any) -> None:
    """CRLF becomes LF, and the trigger stays one statement that SQLite takes."""
    trigger = (
        "CREATE TRIGGER t AFTER INSERT ON notes BEGIN\r\n"
        "  UPDATE notes SET text = 'x';\r\n  SELECT 1;\r\nEND;\r\n"
    )
    head = push(world, clock, {**ONE, "0002_t.sql": trigger}).head
    statements = [s for file in world.store().files(head) for s in file.statements]
    assert len(statements) == 2
    assert "\r" not in "".join(statements)
    database = sqlite3.connect(":memory:")
    for statement in statements:
        database.execute(statement)
    database.close()


class Together:
    """A store whose first move of the head waits until another push is as far."""

    def __init__(self, store: MigrationStore, barrier: threading.Barrier, lock: Any) -> None:
        self.store, self.barrier, self.lock = store, barrier, lock

    def head(self) -> Head | None:
        with self.lock:
            return self.store.head()

    def keep(self, migration: Migration) -> None:
        with self.lock:
            self.store.keep(migration)

    def move_head(self, before: Head | None, after: Head) -> None:
        if before is not None and before.version == 1:
            self.barrier.wait(10)
        with self.lock:  # moto's tables are not made for threads
            self.store.move_head(before, after)


def test_two_pushes_at_once_leave_one_history(world: Any, clock: Any) -> None:
    """Of two different next files one wins; the other is told, and the head is whole."""
    push(world, clock, ONE)
    barrier, lock = threading.Barrier(2), threading.Lock()
    outcomes: dict[str, object] = {}

    def run(name: str) -> None:
        files = {**ONE, f"0002_{name}.sql": "SELECT 1;"}
        store = Together(world.store(), barrier, lock)
        try:
            outcomes[name] = push_migrations(store, files, now=clock, pushed_by=name)
        except BadMigrations as error:
            outcomes[name] = error

    threads = [threading.Thread(target=run, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    winners = [name for name, outcome in outcomes.items() if isinstance(outcome, Pushed)]
    assert len(outcomes) == 2
    assert len(winners) == 1
    head = world.store().head()
    assert (head.version, head.schema_version) == (2, f"0002_{winners[0]}.sql")
    assert len(head.files) == 2


def test_two_pushes_of_the_same_at_once_both_succeed(world: Any, clock: Any) -> None:
    """Who comes second finds everything done."""
    first, second = world.store(), world.store()
    stale = first.head()
    push_migrations(second, ONE, now=clock, pushed_by="b")
    with pytest.raises(Conflict, match="nothing was pushed yet"):
        first.move_head(stale, second.head())
    assert not push_migrations(first, ONE, now=clock, pushed_by="a").changed


def test_a_text_that_was_tampered_with_is_never_run(world: Any, clock: Any) -> None:
    """The checksum is verified on reading; the error names the file and what to do."""
    head = push(world, clock, ONE).head
    world.s3.put_object(Bucket=BUCKET, Key=world.keys()[0], Body=b"DROP TABLE notes;")
    with pytest.raises(Permanent, match=r"0001_notes\.sql .* not what was pushed"):
        world.store().files(head)


def test_a_text_that_is_gone_is_healed_by_pushing_again(world: Any, clock: Any) -> None:
    """The same push restores what the bucket lost, and moves nothing."""
    head = push(world, clock, ONE).head
    world.s3.delete_object(Bucket=BUCKET, Key=world.keys()[0])
    with pytest.raises(Permanent, match=r"0001_notes\.sql is gone"):
        world.store().files(head)
    assert not push(world, clock, ONE).changed
    assert world.store().files(head)[0].statements == (ONE["0001_notes.sql"],)


def test_a_text_is_read_once_a_process(world: Any, clock: Any) -> None:
    """After the first reading the bucket is not asked again."""
    head = push(world, clock, ONE).head
    store = world.store()
    store.files(head)
    world.s3.delete_object(Bucket=BUCKET, Key=world.keys()[0])
    assert store.files(head)[0].name == "0001_notes.sql"


def test_a_missing_bucket_is_not_hidden(world: Any, clock: Any) -> None:
    """A wrong bucket is a mistake of the deployment and surfaces as what S3 said."""
    world.s3.delete_bucket(Bucket=BUCKET)
    with pytest.raises(ClientError, match="NoSuchBucket"):
        push(world, clock, ONE)
    assert world.store().head() is None


def test_s3_that_does_not_answer_is_transient(world: Any, clock: Any) -> None:
    """A dead endpoint means: try again later; the head has not moved."""
    config = Config(connect_timeout=1, retries={"max_attempts": 0})
    dead = boto3.client(
        "s3", region_name="us-east-1", endpoint_url="http://127.0.0.1:9", config=config
    )
    with pytest.raises(Transient, match="S3 does not answer"):
        push_migrations(
            MigrationStore(world.table, dead, BUCKET), ONE, now=clock, pushed_by="tester"
        )
    assert world.store().head() is None


def test_a_folder_is_read_as_wrangler_reads_it(tmp_path: Any) -> None:
    """Only the .sql files of the folder itself count, unless a pattern says otherwise."""
    (tmp_path / "0001_a.sql").write_text("SELECT 1;")
    (tmp_path / "README.md").write_text("no")
    (tmp_path / "0002_b").mkdir()
    (tmp_path / "0002_b" / "migration.sql").write_text("SELECT 2;")
    assert read_folder(tmp_path) == {"0001_a.sql": b"SELECT 1;"}
    assert read_folder(tmp_path, "*/migration.sql") == {"0002_b/migration.sql": b"SELECT 2;"}
    with pytest.raises(Permanent, match="is not a folder"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(Permanent, match="--pattern"):
        read_folder(tmp_path, "*.nothing")
