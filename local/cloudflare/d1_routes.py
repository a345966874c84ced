"""Routes of D1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from local.cloudflare.databases import Database, Databases
from local.cloudflare.doors import doors
from local.cloudflare.engine import D1Engine, Format, SqlError, Statement
from local.cloudflare.envelope import ApiError, body_object, ok, page_of
from local.cloudflare.sql import IncompleteInput, split
from local.cloudflare.transfers import Transfers
from local.cloudflare.travel import TimeTravel

__all__ = ["bucket_blueprint", "d1_blueprint"]

_BASE = "/accounts/<a>/d1/database"


def d1_blueprint(
    databases: Databases, engine: D1Engine, transfers: Transfers, travel: TimeTravel
) -> Blueprint:
    """Build the routes under `/accounts/{a}/d1/database`."""
    door = _Door(databases, engine, transfers, travel)
    return doors(
        "d1",
        {
            f"POST {_BASE}": door.create,
            f"GET {_BASE}": door.list,
            f"GET {_BASE}/<id>": door.get,
            f"PUT {_BASE}/<id>": door.update,
            f"PATCH {_BASE}/<id>": door.update,
            f"DELETE {_BASE}/<id>": door.delete,
            f"POST {_BASE}/<id>/query": door.query,
            f"POST {_BASE}/<id>/raw": door.raw,
            f"POST {_BASE}/<id>/export": door.export,
            f"POST {_BASE}/<id>/import": door.import_,
            f"GET {_BASE}/<id>/time_travel/bookmark": door.bookmark,
            f"POST {_BASE}/<id>/time_travel/restore": door.restore,
        },
    )


def bucket_blueprint(transfers: Transfers) -> Blueprint:
    """Build the routes of the bucket that exports are read from and imports are put to."""
    bucket = _Bucket(transfers)
    table = {"PUT /<path:path>": bucket.upload, "GET /<path:path>": bucket.download}
    return doors("bucket", table, prefix="/__r2")


@dataclass(frozen=True)
class _Door:
    databases: Databases
    engine: D1Engine
    transfers: Transfers
    travel: TimeTravel

    def create(self) -> Response:
        return ok(self.databases.show(self.databases.create(body_object(request.get_data()))))

    def list(self) -> Response:
        chosen, info = page_of(
            self.databases.search(request.args.get("name", "")),
            request.args.get("page", "1"),
            request.args.get("per_page", "1000"),
            most=10_000,
            code=7400,
        )
        return ok([item.brief() for item in chosen], result_info=info)

    def get(self, id: str) -> Response:  # noqa: A002 - the route's name of it
        database = self.databases.find(id)
        if "fields" in request.args:
            return ok(self.databases.show(database, request.args["fields"].split(",")))
        return ok(self.databases.show(database))

    def update(self, id: str) -> Response:  # noqa: A002
        body = body_object(request.get_data())
        required = request.method == "PUT"
        return ok(self.databases.show(self.databases.replicate(id, body, required=required)))

    def delete(self, id: str) -> Response:  # noqa: A002
        self.databases.delete(id)
        self.transfers.forget(id)
        self.travel.forget(id)
        return ok(None)

    def query(self, id: str) -> Response:  # noqa: A002
        return self._run(self.databases.by_uuid(id), "ARRAY_OF_OBJECTS")

    def raw(self, id: str) -> Response:  # noqa: A002
        return self._run(self.databases.by_uuid(id), "ROWS_AND_COLUMNS")

    def export(self, id: str) -> Response:  # noqa: A002
        uuid = self.databases.by_uuid(id).uuid
        base = request.host_url.rstrip("/")
        status, result = self.transfers.export(uuid, body_object(request.get_data()), base)
        return ok(result, status=status)

    def import_(self, id: str) -> Response:  # noqa: A002
        uuid = self.databases.by_uuid(id).uuid
        base = request.host_url.rstrip("/")
        return ok(self.transfers.import_(uuid, body_object(request.get_data()), base))

    def bookmark(self, id: str) -> Response:  # noqa: A002
        database = self.databases.by_uuid(id)
        return ok({"bookmark": self.travel.bookmark(database, request.args.get("timestamp"))})

    def restore(self, id: str) -> Response:  # noqa: A002
        database = self.databases.by_uuid(id)
        self.transfers.check_open(id)
        bookmark, timestamp = request.args.get("bookmark"), request.args.get("timestamp")
        return ok(self.travel.restore(database, bookmark, timestamp))

    def _run(self, database: Database, results: Format) -> Response:
        statements = _statements(body_object(request.get_data()))
        self.transfers.check_open(database.uuid)
        try:
            answers = self.engine.query(database.uuid, statements, results)
        except SqlError as error:
            if not self.databases.exists(database.uuid):
                message = f"The database {database.uuid} could not be found"
                raise ApiError(404, 7404, message) from error
            raise ApiError(400, 7500, str(error)) from error
        return ok([_answer(answer, database.region) for answer in answers])


@dataclass(frozen=True)
class _Bucket:
    transfers: Transfers

    def upload(self, path: str) -> Response:
        etag = self.transfers.upload(path, request.get_data())
        if etag is None:
            return Response("SignatureDoesNotMatch", status=403)
        return Response(status=200, headers={"ETag": f'"{etag}"'})

    def download(self, path: str) -> Response:
        body = self.transfers.download(path)
        if body is None:
            return Response("NoSuchKey", status=404)
        return Response(body, content_type="application/sql")


def _statements(body: dict[str, Any]) -> list[Statement]:
    if "batch" in body:
        batch = body["batch"]
        if not isinstance(batch, list) or not batch:
            raise ApiError(400, 7400, "Invalid property: batch => Expected a list of queries")
        return [statement for item in batch for statement in _one(item)]
    return _one(body)


def _one(query: Any) -> list[Statement]:
    sql = query.get("sql") if isinstance(query, dict) else None
    if not isinstance(sql, str):
        raise ApiError(400, 7400, "Invalid property: sql => Required")
    params = query.get("params") or ()
    if not isinstance(params, list | tuple) or not all(_is_value(value) for value in params):
        raise ApiError(400, 7400, "Invalid property: params => Invalid input")
    try:
        parts = split(sql)
    except IncompleteInput as error:
        raise ApiError(400, 7500, str(error)) from error
    if not parts:
        raise ApiError(400, 7500, "No SQL statements detected.")
    if params and len(parts) > 1:
        raise ApiError(
            400, 7500, "A prepared SQL statement must contain only one statement: SQLITE_ERROR"
        )
    values: Sequence[Any] = params
    return [(part, values) for part in parts]


def _is_value(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, int) and 0 <= item < 256 for item in value)
    return value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))


def _answer(answer: dict[str, Any], region: str) -> dict[str, Any]:
    meta = dict(answer["meta"])
    meta.pop("served_by", None)
    placed = {"served_by_colo": "EMU", "served_by_region": region, "served_by_primary": True}
    meta = {**placed, "timings": {"sql_duration_ms": meta["duration"]}, **meta}
    return {"success": True, "results": answer["results"], "meta": meta}
