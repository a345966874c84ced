"""What became of a pool Worker that does not run what was published, and what mends it.

The running Workers are asked first, which costs no call of the REST API. Only about one that is not
what it should be are Cloudflare's records asked (`Deployed`); from both follows one `Trouble`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

from shared.domain.worker import CODE, FLEET_UID, Binding, Worker

__all__ = ["Deployed", "Mend", "Trouble", "diagnose", "is_as_published", "is_due", "mend_of"]

NOT_SEEN_YET: Final = timedelta(minutes=5)
"""A generation that nobody saw live may still be on its way for so long."""
SILENT: Final = timedelta(minutes=5)
"""A Worker that does not answer is only called so when it did not so long ago either."""


class Trouble(StrEnum):
    """Name what is wrong with a running pool Worker; each is a kind of finding."""

    NOT_LIVE = "generation_not_live"
    OVERWRITTEN = "worker_overwritten"
    MISSING = "worker_missing"
    ROLLOUT = "worker_rollout"
    REFUSED = "admin_secret_rotated"
    UNREACHABLE = "router_unreachable"
    UNANSWERED = "worker_unanswered"
    FOREIGN = "worker_of_another_fleet"


class Mend(StrEnum):
    """Name what the publisher is to do; `NOTHING`: it takes a person."""

    REPUBLISH = "republish"
    UPLOAD = "upload"
    RECREATE = "recreate"
    NOTHING = ""


@dataclass(frozen=True)
class Deployed:
    """Hold what Cloudflare keeps of a script.

    `bindings` are those of its newest version, `newest` that version's id; `shares` are the
    versions that are deployed, each with its percentage; `has_address` says whether it answers on
    workers.dev, None where that was not asked.
    """

    bindings: Sequence[Binding]
    newest: str | None
    shares: tuple[tuple[str, float], ...]
    has_address: bool | None = None

    @property
    def is_rollout(self) -> bool:
        """Say whether something else than the newest version, alone, is deployed."""
        if len(self.shares) != 1:
            return bool(self.shares)
        ((version, _),) = self.shares
        return self.newest is not None and version != self.newest

    def text(self, name: str) -> str | None:
        """Return a plain text of the newest version by its name."""
        for binding in self.bindings:
            if binding["name"] == name and binding.get("type") == "plain_text":
                return str(binding.get("text"))
        return None


def is_due(worker: Worker, settle: timedelta, now: datetime) -> bool:
    """Say whether a Worker should by now run what was published last.

    Not while a publish is under way or asked for; and not right after one: a generation that was
    never seen live may be on its way, or was overwritten before anyone saw it.
    """
    if worker.unfinished or worker.published_generation == 0 or not worker.published_hash:
        return False
    seen = worker.live_generation == worker.published_generation
    patience = settle if seen else max(settle, NOT_SEEN_YET)
    return worker.published_at is None or now - worker.published_at >= patience


def is_as_published(worker: Worker, *, generation: int, code: str, bindings_hash: str) -> bool:
    """Say whether a running Worker serves what was published, by what it says of itself."""
    served = (generation, code, bindings_hash)
    return served == (worker.published_generation, worker.code, worker.served_hash)


def diagnose(
    worker: Worker, fleet_uid: str, deployed: Deployed | None, *, answers: bool
) -> Trouble:
    """Say what became of a Worker that is not what was published.

    `deployed` is None when there is no such script; `answers` says whether the running one
    answered at all.
    """
    if deployed is None:
        return Trouble.MISSING
    uid = deployed.text(FLEET_UID)
    if uid not in {None, fleet_uid}:
        return Trouble.FOREIGN
    if deployed.is_rollout:
        return Trouble.ROLLOUT
    if uid is None or deployed.text(CODE) != worker.code:
        return Trouble.OVERWRITTEN
    if deployed.has_address is False:
        return Trouble.UNREACHABLE
    return Trouble.NOT_LIVE if answers else Trouble.UNANSWERED


def mend_of(trouble: Trouble, worker: Worker, now: datetime) -> Mend | None:
    """Say what mends a trouble; None: nothing is known for sure yet, so wait for another look."""
    match trouble:
        case Trouble.NOT_LIVE | Trouble.ROLLOUT:
            return Mend.REPUBLISH
        case Trouble.REFUSED:
            # Put again and refused again: then it is not the router that has the wrong one.
            again = worker.live_generation < worker.published_generation
            return Mend.NOTHING if again else Mend.REPUBLISH
        case Trouble.OVERWRITTEN | Trouble.UNREACHABLE:
            return Mend.UPLOAD
        case Trouble.MISSING:
            return Mend.RECREATE
        case Trouble.UNANSWERED:
            # Trouble that passes looks the same, and so does code that was edited in place.
            since = worker.silent_since
            return Mend.UPLOAD if since is not None and now - since >= SILENT else None
        case Trouble.FOREIGN:
            return Mend.NOTHING
        case _:
            assert_never(trouble)
