"""What a pool Worker's bindings should be, as the state table says. Read for every publish."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from shared.domain.tenant import TenantStatus
from shared.domain.worker import Binding, Role, Slot, Worker
from shared.usecases.context import Control
from shared.usecases.outside import Outside

__all__ = ["Wanted", "wanted_of"]

DIRECTORY: Final = "D1FLEET_DIRECTORY"


@dataclass(frozen=True)
class Wanted:
    """What a pool Worker should have: `bindings` by name, `leaving` to be dropped.

    `slots` are those of a shard; `urgent` says that somebody waits for one of them. `secrets` are
    texts that the Worker is given by name. `remade` says which bound Workers had to be made anew,
    and how often: a binding to one that was gone is sent again.
    """

    bindings: Mapping[str, Binding]
    leaving: frozenset[str]
    slots: tuple[Slot, ...]
    urgent: bool
    secrets: Mapping[str, str] = field(default_factory=dict)
    remade: Mapping[str, int] = field(default_factory=dict)

    @property
    def content(self) -> Mapping[str, Binding]:
        """Return what tells one publish from another; secrets only by their digest."""
        digests = {
            name: {"type": "secret_text", "digest": hashlib.sha256(text.encode()).hexdigest()}
            for name, text in self.secrets.items()
        }
        remade = {f"{name} remade": {"times": times} for name, times in self.remade.items()}
        return {**self.bindings, **digests, **remade}


def wanted_of(control: Control, outside: Outside, worker: Worker) -> Wanted:
    """Return what a pool Worker should have now."""
    if worker.role is Role.ROUTER:
        return _of_router(control, outside)
    slots = tuple(control.state.slots(worker.script))
    bindings = {
        slot.binding: {
            "type": "d1",
            "name": slot.binding,
            "database_id": slot.database_id,
            "id": slot.database_id,
        }
        for slot in slots
        if slot.database_id is not None and not slot.leaving
    }
    leaving = frozenset(slot.binding for slot in slots if slot.leaving)
    waiting = any(
        not slot.live and not slot.leaving and slot.database_id is not None for slot in slots
    )
    urgent = waiting and _somebody_waits(control)
    return Wanted(bindings, leaving, slots, urgent)


def _of_router(control: Control, outside: Outside) -> Wanted:
    directory_id = control.fleet.get().directory_id
    bindings: dict[str, Binding] = {
        DIRECTORY: {
            "type": "d1",
            "name": DIRECTORY,
            "database_id": directory_id,
            "id": directory_id,
        }
    }
    remade: dict[str, int] = {}
    for room in control.pools.shards():
        shard = control.state.worker(room.script)
        # A binding to a script that is not there yet would be refused.
        if shard is not None and shard.status == "uploaded":
            name = f"SHARD_{room.number}"
            bindings[name] = {"type": "service", "name": name, "service": room.script}
            if shard.remade:
                remade[name] = shard.remade
    secrets = {"D1FLEET_ADMIN_SECRET": outside.admin_secret()}
    return Wanted(bindings, frozenset(), (), urgent=True, secrets=secrets, remade=remade)


def _somebody_waits(control: Control) -> bool:
    return any(True for _ in control.state.tenants(TenantStatus.PENDING, limit=1))
