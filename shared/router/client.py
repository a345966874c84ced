"""The client of the router's admin door: how the control plane speaks to the running pool Workers.

Nothing here spends Cloudflare's REST budget. Every operation is idempotent, so that a lost answer
is no more than a reason to send it again, which the queue does; only a connection that broke before
any answer is tried once more at once, because a frozen function's idle ones break.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice, pairwise
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from shared.domain.lifecycle import iso
from shared.domain.signing import signed_headers
from shared.router.answers import NOT_HTTP, NOT_REACHED, PASSING, error_of
from shared.router.errors import BadRouterAddress, RouterUnavailable, ShardUnknown, WrongFleet
from shared.router.models import (
    DirectoryPage,
    DirectoryRow,
    Inspection,
    MigrationResult,
    Owner,
    Probe,
    Readings,
    ServedStatus,
    StandingRow,
)

__all__ = ["RouterClient"]

TIMEOUT: Final = httpx.Timeout(connect=5, read=20, write=10, pool=5)
MOST_ROWS: Final = 1000
MOST_INSPECTED: Final = 100

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

log = logging.getLogger("d1fleet")


class RouterClient:
    """Ask and command the router of one fleet.

    `url` is its address without a path; `script` and `fleet_uid` are named in every request, so
    that a router of another fleet refuses; `secret` gives the `whsec_…` that signs, asked anew each
    time. Every method raises `RouterUnavailable` (Transient) when the router does not answer, and
    the permanent errors of `shared.router.errors` with a reason that a person can act on.
    """

    def __init__(
        self,
        http: httpx.Client,
        *,
        url: str,
        script: str,
        fleet_uid: str,
        secret: Callable[[], str],
        clock: Callable[[], datetime],
    ) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._script = script
        self._fleet_uid = fleet_uid
        self._secret = secret
        self._clock = clock

    def status(self, shard: str | None = None) -> ServedStatus | None:
        """Return what a running shard, or without one the router itself, serves.

        None while the router has no binding to that shard.
        """
        try:
            answer = self._ask("status", {} if shard is None else {"shard": shard})
        except ShardUnknown:
            return None
        served = _parsed(ServedStatus, answer)
        if (served.script, served.fleet_uid) != (shard or self._script, self._fleet_uid):
            raise WrongFleet(
                f"{served.script} of fleet {served.fleet_uid} answered for "
                f"{shard or self._script}: run `d1fleet init` to see whose the pool Workers are"
            )
        return served

    def upsert(self, rows: Iterable[DirectoryRow]) -> list[StandingRow]:
        """Write rows into the directory, each only if it is newer; return all as they now stand.

        Raises:
            OwnerConflict: a row names another tenant's database; it was not written.
        """
        standing: list[StandingRow] = []
        for some in _chunks(rows, MOST_ROWS):
            answer = self._ask("tenants.upsert", {"rows": [row.model_dump() for row in some]})
            stored = _rows(StandingRow, answer)
            if [row.tenant_id for row in stored] != [row.tenant_id for row in some]:
                raise RouterUnavailable("the router's answer is malformed: other rows came back")
            standing += stored
        return standing

    def get(self, tenant_ids: Iterable[str]) -> list[DirectoryRow]:
        """Return the directory's rows of these tenants; those it does not know are left out."""
        found: list[DirectoryRow] = []
        for some in _chunks(tenant_ids, MOST_ROWS):
            found += _rows(DirectoryRow, self._ask("tenants.get", {"tenant_ids": some}))
        return found

    def probe(self, tenant_id: str) -> Probe:
        """Have the router query the tenant's own database, its route read afresh.

        Raises:
            TenantNotReady: it could not.
        """
        probe = _parsed(Probe, self._ask("probe", {"tenant_id": tenant_id}))
        if probe.tenant_id != tenant_id:
            raise RouterUnavailable("the router's answer is malformed: it probed another tenant")
        return probe

    def migrate(
        self,
        shard: str,
        binding: str,
        table: str,
        files: Iterable[tuple[str, Sequence[str]]],
    ) -> MigrationResult:
        """Apply the files that the ledger `table` lacks, each atomically with its ledger row.

        A file is its name and its statements. With no files it reads the ledger.

        Raises:
            MigrationFailed: SQL is wrong; nothing of that file stays.
            BindingMissing, ShardUnknown: the database is not served yet.
        """
        named = [{"name": name, "statements": list(statements)} for name, statements in files]
        arguments = {"shard": shard, "binding": binding, "table": table, "files": named}
        return _parsed(MigrationResult, self._ask("migrate", arguments))

    def inspect(self, shard: str, bindings: Iterable[str], table: str) -> list[Inspection]:
        """Measure databases of a shard: size, schema and the newest entry of the ledger `table`."""
        measured: list[Inspection] = []
        for some in _chunks(bindings, MOST_INSPECTED):
            arguments = {"shard": shard, "bindings": some, "table": table}
            measured += _rows(Inspection, self._ask("inspect", arguments))
        return measured

    def read(self, shard: str, binding: str, statements: Sequence[str]) -> list[list[list[Any]]]:
        """Run statements that only read, in one transaction; return each one's rows as lists.

        At most 250, each one SELECT without comments, its columns with names of their own.

        Raises:
            RouterRefused: SQL is wrong, or the answer would have more than 24 million characters.
            BindingMissing, ShardUnknown: the database is not served yet.
        """
        arguments = {"shard": shard, "binding": binding, "statements": list(statements)}
        results = _parsed(Readings, self._ask("read", arguments)).results
        if len(results) != len(statements):
            raise RouterUnavailable("the router's answer is malformed: other results came back")
        return results

    def owners(self, database_uuids: Iterable[str]) -> list[Owner]:
        """Return whose these databases are for ever; those that nobody ever had are left out."""
        found: list[Owner] = []
        for some in _chunks(database_uuids, MOST_ROWS):
            found += _rows(Owner, self._ask("owners", {"database_uuids": some}))
        return found

    # Last: in what follows here, `list` would be this method.
    def list(self, after: str | None = None, limit: int = MOST_ROWS) -> DirectoryPage:
        """Return a page of the directory in the order of tenant ids, tombstones included.

        It begins behind `after` (None: with the first) and has at most `limit` rows, 1 to 1,000.
        Rows that are written meanwhile shift no others, so `next` leads through all of them.
        """
        answer = self._ask("tenants.list", {"after": after, "limit": limit})
        page = _parsed(DirectoryPage, answer)
        ids = [row.tenant_id for row in page.rows]
        # What repeats or goes back would be read for ever; what is out of order is no page.
        in_order = all(one < other for one, other in pairwise([after or "", *ids]))
        if not in_order or len(ids) > limit or page.next not in {None, *ids[-1:]}:
            raise RouterUnavailable("the router's answer is malformed: it is no page of the list")
        return page

    def _ask(self, op: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        try:
            response = self._send(op, arguments)
        except RouterUnavailable as lost:
            if isinstance(lost.__cause__, httpx.TimeoutException):
                raise
            response = self._send(op, arguments)
        if response.is_success and (body := _object(response)) is not None:
            return body
        error = error_of(op, response)
        waiting = isinstance(error, tuple(PASSING.values()))
        log.log(
            logging.INFO if waiting else logging.WARNING,
            "router call failed",
            extra={
                "operation": op,
                "status": response.status_code,
                "cf_ray": response.headers.get("cf-ray"),
                "error": type(error).__name__,
                "detail": str(error),
            },
        )
        raise error

    def _send(self, op: str, arguments: Mapping[str, Any]) -> httpx.Response:
        now = self._clock()
        command = {
            "v": 1,
            "script": self._script,
            "fleet_uid": self._fleet_uid,
            "op": op,
            "time": iso(now),
            **arguments,
        }
        body = json.dumps(command, separators=(",", ":")).encode()
        try:
            return self._http.post(
                f"{self._url}/_d1fleet/{op}",
                content=body,
                headers={
                    "content-type": "application/json",
                    "user-agent": "d1fleet",
                    **signed_headers(self._secret(), body, now, called="router-admin"),
                },
                timeout=TIMEOUT,
                follow_redirects=False,
            )
        except NOT_HTTP as error:
            raise BadRouterAddress(
                f"{self._url or 'empty'} is no address of a router ({type(error).__name__}): set "
                "ROUTER_URL, or run `d1fleet init`"
            ) from error
        except NOT_REACHED as error:
            raise RouterUnavailable(
                f"the router at {self._url} does not answer {op} ({type(error).__name__})"
            ) from error


def _object(response: httpx.Response) -> dict[str, Any] | None:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _parsed(model: type[M], value: Any) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        raise RouterUnavailable(
            f"the router's answer is malformed: expected {model.__name__} at {where or 'its root'}"
        ) from error


def _rows(model: type[M], answer: Mapping[str, Any]) -> list[M]:
    rows = answer.get("rows")
    if not isinstance(rows, list):
        raise RouterUnavailable("the router's answer is malformed: expected rows")
    return [_parsed(model, row) for row in rows]


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some
