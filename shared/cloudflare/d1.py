"""D1 over REST: databases and their SQL."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from shared.cloudflare.errors import CutShort, Facts, NotFound
from shared.cloudflare.models import (
    Database,
    DatabasePage,
    ExportDone,
    ImportDone,
    ImportUpload,
    QueryResult,
    RawResult,
    TransferUnderWay,
)
from shared.cloudflare.transfers import export_step, import_step
from shared.cloudflare.transport import LONG, Answer, Calls
from shared.domain.classes import placement

__all__ = ["D1", "MOST_PER_PAGE", "Param", "Statement"]

Param: TypeAlias = str | int | float | bool | list[int] | None
Statement: TypeAlias = tuple[str, Sequence[Param]]

MOST_PER_PAGE: Final = 10_000
IDENTITY: Final = ("uuid", "name")
"""The fields that cost the least: a question about more may wake a sleeping database."""


class D1:
    """Create, find, list, query, move and delete databases.

    Every method raises `NoPermit` when the budget says wait, and the errors of
    `shared.cloudflare.errors`; a change whose answer was lost raises `OutcomeUnknown`.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._base = f"{calls.account}/d1/database"

    def create(self, name: str, class_: str) -> Database:
        """Create a database where its class says.

        Raises:
            NameTaken: there is one of this name; the caller decides whether it is ours to adopt.
            AccountFull: the account takes no more databases.
        """
        answer = self._calls.write(
            "POST", self._base, "create database", json={"name": name, **placement(class_)}
        )
        database = answer.parsed(Database)
        if database.name != name:
            raise answer.malformed("the database that was asked for")
        return database

    def get(self, name_or_uuid: str, fields: Sequence[str] = IDENTITY) -> Database | None:
        """Return a database by its uuid or exact name, or None if D1 knows none.

        No `fields` means all. The name in the path is what wrangler uses; the reference does not
        mention it, so the answer is checked.
        """
        try:
            answer = self._calls.read(
                "GET",
                self._path(name_or_uuid),
                "get database",
                params={"fields": ",".join(fields)} if fields else {},
            )
        except NotFound:
            return None
        database = answer.parsed(Database)
        if name_or_uuid not in {database.name, database.uuid}:
            raise answer.malformed("the database that was asked for")
        return database

    def pages(self, per_page: int = MOST_PER_PAGE) -> Iterator[DatabasePage]:
        """Yield the whole list page by page; ending without an error makes it evidence.

        Raises:
            CutShort: fewer databases came than D1 counts, or some vanished from the list while it
                was read, so that others may have slipped through between two pages.
        """
        seen, total, number = 0, 0, 0
        while True:
            number += 1
            answer = self._calls.read(
                "GET",
                self._base,
                "list databases",
                params={"page": number, "per_page": per_page},
            )
            page = self._page(answer, number)
            yield page
            seen += len(page.databases)
            if page.total_count < total:
                raise CutShort(_shortfall(answer, f"{total} databases became {page.total_count}"))
            total = page.total_count
            if not page.databases or seen >= total:
                break
        if seen < total:
            raise CutShort(_shortfall(answer, f"{seen} of {total} databases came"))

    def delete(self, uuid: str) -> bool:
        """Delete a database; return False if D1 knew none.

        There is no way back: Time Travel does not reach deleted databases.
        """
        try:
            self._calls.write("DELETE", self._path(uuid), "delete database")
        except NotFound:
            return False
        return True

    def query(
        self, uuid: str, sql: str, params: Sequence[Param] = (), *, read_only: bool = False
    ) -> list[QueryResult]:
        """Run SQL and return one result a statement; several statements run as one batch.

        `read_only` is the caller's word that nothing changes: then it may be sent again.

        Raises:
            SqlError: SQLite refused; nothing of the batch stays.
            OutcomeUnknown: it may have run.
        """
        body = {"sql": sql, "params": list(params)}
        answer = self._sql(uuid, "query", "run SQL", body, read_only=read_only)
        return answer.parsed_list(QueryResult)

    def batch(
        self, uuid: str, statements: Sequence[Statement], *, read_only: bool = False
    ) -> list[QueryResult]:
        """Run statements, each with its parameters, as one transaction."""
        body = {"batch": [{"sql": sql, "params": list(params)} for sql, params in statements]}
        answer = self._sql(uuid, "query", "run SQL batch", body, read_only=read_only)
        return answer.parsed_list(QueryResult)

    def raw(
        self, uuid: str, sql: str, params: Sequence[Param] = (), *, read_only: bool = False
    ) -> list[RawResult]:
        """Run SQL as `query` does; rows are lists, and columns of one name are all kept."""
        body = {"sql": sql, "params": list(params)}
        answer = self._sql(uuid, "raw", "run raw SQL", body, read_only=read_only)
        return answer.parsed_list(RawResult)

    def read(self, uuid: str, statements: Sequence[str]) -> list[list[list[Any]]]:
        """Run statements that only read as one transaction; return each one's rows as lists."""
        body = {"batch": [{"sql": sql} for sql in statements]}
        answer = self._sql(uuid, "raw", "read rows", body, read_only=True)
        results = answer.parsed_list(RawResult)
        if len(results) != len(statements):
            raise answer.malformed("a result for each statement")
        return [[list(row) for row in result.results.rows] for result in results]

    def export(
        self, uuid: str, bookmark: str | None = None, *, tables: Sequence[str] = ()
    ) -> TransferUnderWay | ExportDone:
        """Begin an export, or poll the one at `bookmark`.

        The database answers no queries meanwhile, and an export that is not polled is cancelled:
        reserve the permits before the first step.

        Raises:
            TransferGone: it was cancelled; begin anew.
            TransferFailed: D1 can't export it, e.g. because of a virtual table.
        """
        body: dict[str, Any] = {"output_format": "polling"}
        if bookmark is not None:
            body["current_bookmark"] = bookmark
        if tables:
            body["dump_options"] = {"tables": list(tables)}
        answer = self._calls.read(
            "POST", f"{self._path(uuid)}/export", "export database", json=body, timeout=LONG
        )
        return export_step(answer)

    def import_init(self, uuid: str, etag: str) -> ImportUpload | TransferUnderWay | ImportDone:
        """Say that a dump whose MD5 is `etag` (hex) will come; one known already is begun at once.

        Raises:
            TransferFailed: D1 refuses it.
        """
        body = {"action": "init", "etag": etag}
        return import_step(self._import(uuid, body, changes=False), begun=False)

    def import_ingest(self, uuid: str, etag: str, filename: str) -> TransferUnderWay | ImportDone:
        """Load the uploaded dump: all of it or nothing."""
        body = {"action": "ingest", "etag": etag, "filename": filename}
        return _loading(import_step(self._import(uuid, body, changes=True), begun=True))

    def import_poll(self, uuid: str, bookmark: str) -> TransferUnderWay | ImportDone:
        """Ask how far the import is.

        Raises:
            TransferGone: nothing is being imported: read the database to see whether it is in.
        """
        body = {"action": "poll", "current_bookmark": bookmark}
        return _loading(import_step(self._import(uuid, body, changes=False), begun=True))

    def bookmark(self, uuid: str, at: datetime | None = None) -> str:
        """Return Time Travel's bookmark of now or of an earlier moment; it changes with writes."""
        answer = self._calls.read(
            "GET",
            f"{self._path(uuid)}/time_travel/bookmark",
            "get bookmark",
            params={} if at is None else {"timestamp": at.isoformat()},
        )
        found = answer.result.get("bookmark") if isinstance(answer.result, dict) else None
        if not isinstance(found, str) or not found:
            raise answer.malformed("a bookmark")
        return found

    def _path(self, name_or_uuid: str) -> str:
        return f"{self._base}/{quote(name_or_uuid, safe='')}"

    def _sql(
        self, uuid: str, door: str, operation: str, body: dict[str, Any], *, read_only: bool
    ) -> Answer:
        send = self._calls.read if read_only else self._calls.write
        return send("POST", f"{self._path(uuid)}/{door}", operation, json=body, timeout=LONG)

    def _import(self, uuid: str, body: dict[str, Any], *, changes: bool) -> Answer:
        send = self._calls.write if changes else self._calls.read
        path = f"{self._path(uuid)}/import"
        return send("POST", path, f"import database ({body['action']})", json=body, timeout=LONG)

    @staticmethod
    def _page(answer: Answer, number: int) -> DatabasePage:
        info = answer.info if isinstance(answer.info, dict) else {}
        total = info.get("total_count")
        if not isinstance(total, int):
            raise answer.malformed("result_info with total_count")
        databases = tuple(answer.parsed_list(Database))
        return DatabasePage(number=number, databases=databases, total_count=total)


def _loading(
    step: ImportUpload | TransferUnderWay | ImportDone,
) -> TransferUnderWay | ImportDone:
    assert not isinstance(step, ImportUpload)  # noqa: S101 - import_step(begun=True) gives none
    return step


def _shortfall(answer: Answer, message: str) -> Facts:
    facts = answer.facts
    return Facts(facts.operation, facts.status, message=message, cf_ray=facts.cf_ray)
