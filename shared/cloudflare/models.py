"""What we use of Cloudflare's answers; whatever else they hold is ignored.

Shapes are those of the official SDK 7.3.0 and of wrangler 4. Fields that only some answers have are
optional: a list's items are poorer than a single database.
"""

from datetime import datetime
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "AccountInfo",
    "Binding",
    "Database",
    "DatabasePage",
    "Deployment",
    "ExportDone",
    "ImportDone",
    "ImportUpload",
    "QueryMeta",
    "QueryResult",
    "RawResult",
    "RawRows",
    "ScriptSettings",
    "ScriptSubdomain",
    "Secret",
    "TokenStatus",
    "TransferUnderWay",
    "UploadedScript",
    "Version",
    "VersionShare",
]


def _listed(value: object) -> object:
    """Read null as an empty list: Cloudflare sends either for "none"."""
    return [] if value is None else value


def _texts(value: object) -> object:
    """Read messages as text, though some endpoints send objects."""
    if not isinstance(value, list):
        return _listed(value)
    return [item.get("message", "") if isinstance(item, dict) else item for item in value]


Text: TypeAlias = Annotated[str, Field(min_length=1)]
Texts: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Secret: TypeAlias = Annotated[str, Field(min_length=1, repr=False)]


class Model(BaseModel):
    """Hold a part of an answer."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Database(Model):
    """Hold a D1 database as the API describes it. `uuid` is what bindings name."""

    uuid: Text
    name: Text
    created_at: datetime | None = None
    version: str | None = None
    jurisdiction: str | None = None
    running_in_region: str | None = None
    file_size: int | None = None


class DatabasePage(Model):
    """Hold one page of the list; `total_count` is what D1 said is in the whole list then."""

    number: int
    databases: tuple[Database, ...]
    total_count: int


class QueryMeta(Model):
    """Hold what D1 measured of one statement; `duration` is in milliseconds."""

    duration: float = 0
    changes: int = 0
    last_row_id: int | None = None
    changed_db: bool = False
    size_after: int | None = None
    rows_read: int = 0
    rows_written: int = 0


class QueryResult(Model):
    """Hold one statement's rows as objects."""

    results: Annotated[tuple[dict[str, Any], ...], BeforeValidator(_listed)] = ()
    meta: QueryMeta = QueryMeta()


class RawRows(Model):
    """Hold rows as lists, so that columns of the same name are all kept."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()


class RawResult(Model):
    """Hold one statement's rows as lists."""

    results: RawRows = RawRows()
    meta: QueryMeta = QueryMeta()


class TransferUnderWay(Model):
    """Say that an export or import goes on: poll with this bookmark, soon, or it is cancelled."""

    at_bookmark: Text
    messages: Texts = ()


class ExportDone(Model):
    """Say where the dump can be fetched for an hour; whoever has `signed_url` can read it all."""

    filename: Text
    signed_url: Secret
    at_bookmark: str | None = None


class ImportUpload(Model):
    """Say where to put the dump; whoever has `upload_url` can write it."""

    upload_url: Secret
    filename: Text


class ImportDone(Model):
    """Say that the dump is in the database."""

    num_queries: int = 0
    final_bookmark: str | None = None


Binding: TypeAlias = dict[str, Any]
"""One binding as Cloudflare gave it, kept whole: most kinds are none of our business."""


class _NamedBinding(Model):
    name: Text
    type: Text


def _bindings(value: object) -> object:
    items = _listed(value)
    if isinstance(items, list):
        for item in items:
            _NamedBinding.model_validate(item)
    return items


class ScriptSettings(Model):
    """Hold a Worker's versioned settings. Secrets come without their values."""

    bindings: Annotated[tuple[Binding, ...], BeforeValidator(_bindings)] = ()
    compatibility_date: str | None = None
    compatibility_flags: Texts = ()
    annotations: Annotated[dict[str, Any], BeforeValidator(lambda v: v or {})] = {}


class UploadedScript(Model):
    """Hold what an upload made."""

    id: str | None = None
    etag: str | None = None
    deployment_id: str | None = None


class Version(Model):
    """Hold one version of a Worker; `number` grows."""

    id: Text
    number: int | None = None
    annotations: Annotated[dict[str, Any], BeforeValidator(lambda v: v or {})] = {}


class VersionDetail(Version):
    """Hold one version with what is in it. Secrets come without their values."""

    resources: ScriptSettings = ScriptSettings()

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """Return the bindings of the version."""
        return self.resources.bindings


class VersionShare(Model):
    """Say which part of the requests a version gets."""

    version_id: Text
    percentage: float


class Deployment(Model):
    """Hold one deployment: which versions run, and how much of the traffic each has."""

    id: Text
    versions: tuple[VersionShare, ...] = ()
    created_on: datetime | None = None
    annotations: Annotated[dict[str, Any], BeforeValidator(lambda v: v or {})] = {}

    @property
    def only_version(self) -> str | None:
        """Return the version that has all the traffic, or None during a gradual rollout."""
        if len(self.versions) == 1 and self.versions[0].percentage == 100:
            return self.versions[0].version_id
        return None


class ScriptSubdomain(Model):
    """Say whether a Worker answers on workers.dev, and its previews too."""

    enabled: bool
    previews_enabled: bool = False


class TokenStatus(Model):
    """Say whether the API token is good. `owner` is `user` or `account`."""

    id: Text
    status: Text
    expires_on: datetime | None = None
    owner: str = "user"


class AccountInfo(Model):
    """Hold an account that the token can see."""

    id: Text
    name: str = ""
