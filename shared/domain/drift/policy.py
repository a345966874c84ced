"""Which kinds of drift there are, and what is done about each: the fleet's repair policy.

`REPAIR_POLICY` changes the defaults kind by kind, e.g. `database_orphan=alert,schema_drift=off`.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

__all__ = [
    "AGE",
    "DEFAULT_POLICY",
    "HARMLESS",
    "OF_WORKERS",
    "SIGHTINGS",
    "DriftKind",
    "Policy",
    "PolicyRow",
    "Repairing",
    "parse_policy",
    "policy_rows",
]


class DriftKind(StrEnum):
    """Name a kind of drift."""

    DATABASE_MISSING = "database_missing"
    DATABASE_ORPHAN = "database_orphan"
    BINDING_MISSING = "binding_missing"
    BINDING_WRONG = "binding_wrong"
    BINDING_DANGLING = "binding_dangling"
    BINDING_UNEXPECTED = "binding_unexpected"
    DIRECTORY_STALE = "directory_stale"
    GENERATION_NOT_LIVE = "generation_not_live"
    SCHEMA_BEHIND = "schema_behind"
    SCHEMA_DRIFT = "schema_drift"
    TENANT_STUCK = "tenant_stuck"
    TEARDOWN_OVERDUE = "teardown_overdue"
    SIZE_NEAR_LIMIT = "size_near_limit"
    POOL_LOW = "pool_low"
    DLQ_NOT_EMPTY = "dlq_not_empty"
    WORKER_OVERWRITTEN = "worker_overwritten"
    WORKER_MISSING = "worker_missing"
    WORKER_ROLLOUT = "worker_rollout"
    ADMIN_SECRET_ROTATED = "admin_secret_rotated"  # noqa: S105 - a kind, no secret
    ROUTER_UNREACHABLE = "router_unreachable"
    WORKER_UNANSWERED = "worker_unanswered"
    WORKER_OF_ANOTHER_FLEET = "worker_of_another_fleet"


class Repairing(StrEnum):
    """Say what is done about a kind: mended and told of, only told of, not even looked at."""

    AUTO = "auto"
    ALERT = "alert"
    OFF = "off"


Policy: TypeAlias = Mapping[DriftKind, Repairing]

SIGHTINGS: Final = 2
AGE: Final = timedelta(hours=23, minutes=30)
"""What a repair that could hurt takes: so many real passes, and a day since the first.

A little less, so that the next night's pass is late enough by whatever seconds it begins earlier.
"""

_K = DriftKind
OF_WORKERS: Final = (
    _K.GENERATION_NOT_LIVE,
    _K.WORKER_OVERWRITTEN,
    _K.WORKER_MISSING,
    _K.WORKER_ROLLOUT,
    _K.ADMIN_SECRET_ROTATED,
    _K.ROUTER_UNREACHABLE,
    _K.WORKER_UNANSWERED,
    _K.WORKER_OF_ANOTHER_FLEET,
)
"""Kinds that whoever looks after the pool Workers sees; publishing anew hurts nobody."""

HARMLESS: Final = frozenset(
    {
        _K.BINDING_MISSING,
        _K.BINDING_WRONG,
        _K.DIRECTORY_STALE,
        _K.TENANT_STUCK,
        _K.POOL_LOW,
        *OF_WORKERS,
    }
)
"""Kinds whose repair hurts nobody, so that it is done at first sight."""

_NO_REPAIR: Final = frozenset(
    {
        *(_K.SCHEMA_DRIFT, _K.SIZE_NEAR_LIMIT, _K.DLQ_NOT_EMPTY),
        _K.WORKER_OF_ANOTHER_FLEET,
    }
)
"""Kinds that only a person can mend."""

DEFAULT_POLICY: Final[Policy] = {
    kind: Repairing.ALERT if kind in _NO_REPAIR else Repairing.AUTO for kind in DriftKind
}


def parse_policy(text: str) -> Policy:
    """Return the policy that a text asks for; what it does not name is as by default.

    Raises:
        ValueError: one line that says which kind or word is not known, and which are.
    """
    policy = dict(DEFAULT_POLICY)
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, word = (each.strip() for each in part.partition("="))
        if not equals:
            raise ValueError(f"{part}: write kind=auto, kind=alert or kind=off")
        if name not in set(DriftKind):
            raise ValueError(f"{name} is no kind of drift: {', '.join(DriftKind)}")
        if word not in set(Repairing):
            raise ValueError(f"{name}={word}: it can be {', '.join(Repairing)}")
        kind, repairing = DriftKind(name), Repairing(word)
        if repairing is Repairing.AUTO and kind in _NO_REPAIR:
            raise ValueError(f"{name}=auto: only a person can mend that; say alert or off")
        policy[kind] = repairing
    return policy


class PolicyRow(NamedTuple):
    """Say of a kind what is done and would be by default, and whether that is done at once.

    What is not done at first sight takes two real passes and a day.
    """

    kind: DriftKind
    repairing: Repairing
    default: Repairing
    at_first_sight: bool


def policy_rows(policy: Policy) -> list[PolicyRow]:
    """Return a policy kind by kind, for people."""
    return [
        PolicyRow(kind, policy[kind], DEFAULT_POLICY[kind], kind in HARMLESS) for kind in DriftKind
    ]
