"""All kinds of drift as one closed union, to be written down and read back between invocations."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from shared.domain.drift.bindings import (
    BindingDangling,
    BindingMissing,
    BindingUnexpected,
    BindingWrong,
)
from shared.domain.drift.contents import SchemaBehind, SchemaDrift, SizeNearLimit
from shared.domain.drift.databases import DatabaseMissing, DatabaseOrphan
from shared.domain.drift.policy import DriftKind
from shared.domain.drift.routes import DirectoryStale
from shared.domain.drift.work import DeadLetters, PoolLow, TeardownOverdue, TenantStuck

__all__ = ["KINDS", "AnyDrift", "dump_drift", "load_drift"]

AnyDrift: TypeAlias = (
    DatabaseMissing
    | DatabaseOrphan
    | BindingMissing
    | BindingWrong
    | BindingDangling
    | BindingUnexpected
    | DirectoryStale
    | SchemaBehind
    | SchemaDrift
    | TenantStuck
    | TeardownOverdue
    | SizeNearLimit
    | PoolLow
    | DeadLetters
)

_CLASSES: Final[Sequence[type[AnyDrift]]] = AnyDrift.__args__
KINDS: Final = {drift.kind: drift for drift in _CLASSES}
"""The class of each kind; those of the pool Workers are seen by whoever looks after these."""


def dump_drift(drift: AnyDrift) -> dict[str, object]:
    """Return a drift as JSON has it."""
    return {"kind": str(drift.kind), "seen": drift.model_dump(mode="json")}


def load_drift(document: dict[str, object]) -> AnyDrift:
    """Return a drift that was written down."""
    return KINDS[DriftKind(str(document["kind"]))].model_validate(document["seen"])
