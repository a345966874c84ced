"""What Cloudflare's API can answer instead of a result, as our three ways to go on.

ControlPlaneError
├── Transient
│   ├── NotReached             no connection: nothing was sent
│   ├── Unavailable            5xx, a challenge, nonsense; nothing was changed
│   ├── RateLimited            429: the budget is closed for all
│   ├── Overloaded             the database sheds load; nothing was run
│   ├── QuotaSpent             the plan's daily rows are used up
│   ├── VersionNotDeployed     10214, 10215: somebody rolls out a version of that Worker
│   ├── BoundDatabaseMissing   10181: a binding names a database that D1 does not know (yet)
│   ├── BoundServiceMissing    10144: a binding names a Worker that is not there (yet)
│   ├── CutShort               a listing ended before its own count: no evidence of absence
│   ├── TransferGone           an export or import was cancelled: begin anew
│   └── OutcomeUnknown
│       └── Unsettled          a change was asked for and no usable answer came
├── Permanent
│   ├── BadToken               10000, 1000, 9106, 9109, 10015, 401, 403
│   ├── WrongAccount           7403, 7003
│   ├── AccountFull            7406
│   ├── DatabaseFull           7500 with D1's size limit
│   ├── NoWorkersSubdomain     10063
│   ├── InvalidBinding         10021 about a binding
│   ├── SqlError               7500 with an SQLITE_… code
│   ├── TransferFailed         an export or import that will fail again
│   ├── BadAddress             the API's URL or our request is not valid HTTP
│   └── Rejected               every other refusal
└── Conflict
    ├── NameTaken              7502
    ├── NotFound               7404
    ├── WorkerNotFound         10007, 10090
    ├── InheritUnresolved      10057: a binding to inherit is gone
    ├── InUse                  10142: other Workers are bound to it
    └── Contested              409, 412, 10018: somebody else changed it

Every one carries `facts`: the operation, HTTP status, code, message and the cf-ray by which
Cloudflare's support finds the request. Codes are those of wrangler's source and public issues.
"""

from dataclasses import dataclass

from shared.errors import Conflict, ControlPlaneError, OutcomeUnknown, Permanent, Transient

__all__ = [
    "AccountFull",
    "BadAddress",
    "BadToken",
    "BoundDatabaseMissing",
    "BoundServiceMissing",
    "CloudflareConflict",
    "CloudflareError",
    "CloudflarePermanent",
    "CloudflareTransient",
    "Contested",
    "CutShort",
    "DatabaseFull",
    "Facts",
    "InUse",
    "InheritUnresolved",
    "InvalidBinding",
    "NameTaken",
    "NoWorkersSubdomain",
    "NotFound",
    "NotReached",
    "Overloaded",
    "QuotaSpent",
    "RateLimited",
    "Rejected",
    "SqlError",
    "TransferFailed",
    "TransferGone",
    "Unavailable",
    "Unsettled",
    "VersionNotDeployed",
    "WorkerNotFound",
    "WrongAccount",
]


@dataclass(frozen=True)
class Facts:
    """Say what was asked and what came back; `message` is cut short and free of secrets."""

    operation: str
    status: int | None = None
    code: int | None = None
    message: str = ""
    cf_ray: str | None = None

    def __str__(self) -> str:
        """Return the facts as one line for people."""
        parts = [f"{self.operation}: {self.message or 'no message'}"]
        if self.status is not None:
            parts.append(f"status {self.status}")
        if self.code is not None:
            parts.append(f"code {self.code}")
        if self.cf_ray is not None:
            parts.append(f"cf-ray {self.cf_ray}")
        return ", ".join(parts)


class CloudflareError(ControlPlaneError):
    """Stand for whatever Cloudflare's API answered instead of a result."""

    facts: Facts


class CloudflareTransient(CloudflareError, Transient):  # noqa: N818
    """Say that the same call may succeed later."""

    def __init__(self, facts: Facts, *, retry_after: float | None = None) -> None:
        super().__init__(str(facts), retry_after=retry_after)
        self.facts = facts


class NotReached(CloudflareTransient):
    """Say that no connection came about; nothing was sent."""


class Unavailable(CloudflareTransient):
    """Say that the API did not do its work; nothing was changed."""


class RateLimited(CloudflareTransient):
    """Say that the account's limit was met; the budget is closed until `retry_after` has passed."""


class Overloaded(CloudflareTransient):
    """Say that the database had too much to do and did not run the query."""


class QuotaSpent(CloudflareTransient):
    """Say that the plan's daily rows are used up until midnight UTC."""


class VersionNotDeployed(CloudflareTransient):
    """Say that the Worker's newest version is not the deployed one: settings must wait."""


class BoundDatabaseMissing(CloudflareTransient):
    """Say that a binding names a database that D1 does not know; a new one may need a moment."""


class BoundServiceMissing(CloudflareTransient):
    """Say that a binding names a Worker that is not there; a new one may need a moment."""


class CutShort(CloudflareTransient):
    """Say that a listing has fewer items than it counts, or changed: it proves no absence."""


class TransferGone(CloudflareTransient):
    """Say that an export or import is no longer under way: begin it anew."""


class Unsettled(CloudflareError, OutcomeUnknown):  # noqa: N818
    """Say that a change was asked for and it is not known whether it happened."""

    def __init__(self, facts: Facts, *, retry_after: float | None = None) -> None:
        super().__init__(str(facts), retry_after=retry_after)
        self.facts = facts


class CloudflarePermanent(CloudflareError, Permanent):  # noqa: N818
    """Say that a person must act; `advice` says how."""

    advice = "Cloudflare refuses this for good"

    def __init__(self, facts: Facts) -> None:
        super().__init__(f"{self.advice} ({facts})")
        self.facts = facts


class BadToken(CloudflarePermanent):
    """Say that the API token is not valid or lacks a permission."""

    advice = (
        "Cloudflare does not accept the API token for this: put a valid one, with D1 Edit and "
        "Workers Scripts Edit on this account, into the secret cloudflare-token"
    )


class WrongAccount(CloudflarePermanent):
    """Say that the account's id is wrong or not the token's."""

    advice = "check CLOUDFLARE_ACCOUNT_ID: it must be an account that the API token may use"


class AccountFull(CloudflarePermanent):
    """Say that the account holds as many databases as its plan allows."""

    advice = (
        "the Cloudflare account has reached its number of D1 databases: upgrade the plan, ask "
        "Cloudflare to raise the limit, or delete databases that nobody needs"
    )


class DatabaseFull(CloudflarePermanent):
    """Say that the database is as large as D1 lets it be."""

    advice = "the database has reached D1's maximum size: move or delete data"


class NoWorkersSubdomain(CloudflarePermanent):
    """Say that the account has no workers.dev subdomain yet."""

    advice = (
        "the account has no workers.dev subdomain: open Workers & Pages in Cloudflare's dashboard "
        "once, or set ROUTER_URL to a route of your own"
    )


class InvalidBinding(CloudflarePermanent):
    """Say that Cloudflare refuses a script or one of its bindings."""

    advice = "Cloudflare refuses the Worker's bindings or code"


class SqlError(CloudflarePermanent):
    """Say that SQLite refused the statement; the message says where."""

    advice = "the SQL is wrong for this database"


class TransferFailed(CloudflarePermanent):
    """Say that an export or import failed for a reason that stays."""

    advice = "D1 can't export or import this database"


class BadAddress(CloudflarePermanent):
    """Say that a request could not even be formed."""

    advice = "check CLOUDFLARE_API_URL: it must be a plain http or https address"


class Rejected(CloudflarePermanent):
    """Say that Cloudflare refused for a reason that we know no way around."""


class CloudflareConflict(CloudflareError, Conflict):  # noqa: N818
    """Say that what the call took for granted is not so."""

    expected = "the call fits the state of the account"

    def __init__(self, facts: Facts) -> None:
        super().__init__(self.expected)
        self.facts = facts

    def __str__(self) -> str:
        """Return what was expected and what came instead."""
        return f"{self.condition}, but {self.facts}"


class NameTaken(CloudflareConflict):
    """Say that a database of this name exists."""

    expected = "no database has this name"


class NotFound(CloudflareConflict):
    """Say that D1 knows no such database."""

    expected = "the database exists"


class WorkerNotFound(CloudflareConflict):
    """Say that there is no Worker script of this name."""

    expected = "the Worker exists"


class InheritUnresolved(CloudflareConflict):
    """Say that a binding to be inherited is not there any more."""

    expected = "every binding to inherit exists"


class InUse(CloudflareConflict):
    """Say that other Workers are bound to it."""

    expected = "no other Worker is bound to it"


class Contested(CloudflareConflict):
    """Say that somebody else changed it first."""

    expected = "nobody else changed it"
