"""The pool Workers' bindings: what a publish should contain, and what comes next for one Worker.

Every publish of a Worker carries a generation, one more than any before. It is written down first
(`generation`, with `settle_until`), sent, read back (`published_generation`), and at last seen
served (`live_generation`)::

    generation ≥ published_generation ≥ live_generation

While `generation` is ahead of `published_generation`, a request may still be on its way to
Cloudflare: nothing new is sent before `settle_until`, lest the old one commits over the new.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self, TypeAlias

from pydantic import BaseModel, ConfigDict

from shared.domain.lifecycle import Instant, Record

__all__ = [
    "CODE",
    "FLEET_UID",
    "GENERATION",
    "OVERWRITTEN",
    "AskRunning",
    "Binding",
    "MarkGone",
    "MarkLive",
    "NothingToPublish",
    "Publish",
    "PublishAction",
    "ReadBack",
    "Role",
    "Slot",
    "Upload",
    "WaitToPublish",
    "Worker",
    "bindings_hash",
    "content_hash",
    "merge_bindings",
    "missing_bindings",
    "plan_publish",
]

GENERATION: Final = "D1FLEET_GENERATION"
FLEET_UID: Final = "D1FLEET_FLEET_UID"
CODE: Final = "D1FLEET_CODE"
OVERWRITTEN: Final = "overwritten"
"""What stands for the hash of a Worker's code once somebody else's was found there."""
COALESCE_URGENT: Final = timedelta(seconds=2)
COALESCE_LAZY: Final = timedelta(seconds=60)
COALESCE_PAUSE: Final = timedelta(seconds=10)

Binding: TypeAlias = Mapping[str, Any]


class Role(StrEnum):
    """Name what a pool Worker is."""

    ROUTER = "router"
    SHARD = "shard"


class Worker(Record):
    """Hold what is known of one pool Worker's bindings.

    `remade` counts how often its script was gone and had to be made anew; `silent_since` is set
    while it does not answer.
    """

    script: str
    role: Role
    number: int = 0
    code: str = ""
    generation: int = 0
    published_generation: int = 0
    published_hash: str = ""
    served_hash: str = ""
    published_at: Instant | None = None
    live_generation: int = 0
    settle_until: Instant | None = None
    remade: int = 0
    silent_since: Instant | None = None

    @property
    def status(self) -> str:
        """Return `new` before its script exists, `uploaded` from then on."""
        return "uploaded" if self.code else "new"

    @property
    def unfinished(self) -> bool:
        """Say whether a publish began whose end was never written down."""
        return self.generation > self.published_generation

    def to_publish(self, now: datetime) -> Self:
        """Return the record of a Worker whose bindings are to be published anew."""
        return self.changed(now, published_hash="")

    def to_upload(self, now: datetime) -> Self:
        """Return the record of a Worker whose code is to be uploaded anew, over what is there."""
        return self.changed(now, code=OVERWRITTEN, published_hash="", silent_since=None)

    def to_recreate(self, now: datetime) -> Self:
        """Return the record of a Worker whose script is gone: nothing binds it until it is back."""
        remade = self.remade + 1
        return self.changed(now, code="", published_hash="", remade=remade, silent_since=None)


class Slot(BaseModel):
    """Hold one database's place on a shard.

    `generation` is the first one that contains it; `live` that its shard was seen serving it;
    `leaving` that the next publish must leave it out, `left_generation` is the first one that
    does, and `gone` says that its shard was seen without it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    ulid: str
    binding: str
    database_id: str | None = None
    made_at: Instant | None = None
    generation: int | None = None
    live: bool = False
    leaving: bool = False
    left_generation: int | None = None
    gone: bool = False


def bindings_hash(names: Iterable[str]) -> str:
    """Return the hash of a set of binding names, as the running shard computes it."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()


def content_hash(desired: Mapping[str, Binding]) -> str:
    """Return the hash of what a publish should contain, values included."""
    lines = sorted(f"{name}={sorted(binding.items())!r}" for name, binding in desired.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def merge_bindings(
    existing: Sequence[Binding],
    desired: Mapping[str, Binding],
    leaving: frozenset[str],
    own_texts: Mapping[str, str],
    *,
    older: Sequence[Binding] = (),
    version: str | None = None,
) -> list[dict[str, Any]]:
    """Return the whole list to send: what we own, said outright, and `inherit` for all the rest.

    Cloudflare replaces the whole list and never returns a secret's value, so whatever is not ours
    is inherited by name. A name of ours that the table does not know is kept: dropping it is for
    the reconciler to decide, who looks twice. What `existing`, the newest version, lacks
    of `older`, an earlier `version` of the script, is inherited from there.
    """
    ours = set(desired) | set(own_texts) | leaving
    merged = [
        {"type": "inherit", "name": str(binding["name"])}
        for binding in existing
        if binding["name"] not in ours
    ]
    newest = {binding["name"] for binding in existing}
    merged += [
        {"type": "inherit", "name": str(binding["name"]), "version_id": str(version)}
        for binding in older
        if binding["name"] not in ours | newest
    ]
    merged += [dict(binding) for _, binding in sorted(desired.items())]
    merged += [
        {"type": "plain_text", "name": name, "text": text} for name, text in own_texts.items()
    ]
    return merged


def missing_bindings(
    sent: Sequence[Binding], seen: Sequence[Binding], leaving: frozenset[str]
) -> list[str]:
    """Return the names that read back wrong: absent, with another value, or still there."""
    found = {str(binding["name"]): binding for binding in seen}
    wrong = [name for name in sorted(leaving) if name in found]
    for binding in sent:
        name = str(binding["name"])
        other = found.get(name)
        if other is None or (binding["type"] != "inherit" and not _same(binding, other)):
            wrong.append(name)
    return wrong


def _same(sent: Binding, seen: Binding) -> bool:
    if sent["type"] != seen.get("type"):
        return False
    if sent["type"] == "secret_text":
        return True  # its value is never given back
    if sent["type"] == "d1":
        return bool(sent["database_id"] == (seen.get("database_id") or seen.get("id")))
    return all(seen.get(key) == value for key, value in sent.items() if key != "entrypoint")


@dataclass(frozen=True)
class NothingToPublish:
    """Everything is published and seen live."""


@dataclass(frozen=True)
class WaitToPublish:
    """Come back in `seconds`: more is on its way, or the last outcome is not known yet."""

    seconds: float
    why: str


@dataclass(frozen=True)
class ReadBack:
    """Look whether the publish that never wrote down its end did commit."""

    generation: int


@dataclass(frozen=True)
class Upload:
    """Send code and bindings: the script is not there, or its code is another."""


@dataclass(frozen=True)
class Publish:
    """Send the bindings."""


@dataclass(frozen=True)
class AskRunning:
    """Ask the running Worker whether it serves the published generation."""


@dataclass(frozen=True)
class MarkLive:
    """Write down that these databases are served."""

    ulids: tuple[str, ...]


@dataclass(frozen=True)
class MarkGone:
    """Write down that these databases are served no more."""

    ulids: tuple[str, ...]


PublishAction: TypeAlias = (
    NothingToPublish
    | WaitToPublish
    | ReadBack
    | Upload
    | Publish
    | AskRunning
    | MarkLive
    | MarkGone
)


def plan_publish(
    worker: Worker,
    *,
    desired: Mapping[str, Binding],
    slots: Sequence[Slot],
    code: str,
    urgent: bool,
    looked: bool,
    now: datetime,
) -> PublishAction:
    """Say what comes next for one pool Worker.

    `looked` says that an unfinished publish was already looked for in this attempt.
    """
    if worker.unfinished:
        if not looked:
            return ReadBack(worker.generation)
        if worker.settle_until is not None and now < worker.settle_until:
            wait = (worker.settle_until - now).total_seconds()
            return WaitToPublish(wait, "the last publish has no known outcome")
    elif live := tuple(slot.ulid for slot in slots if _is_served(slot, worker)):
        return MarkLive(live)
    elif gone := tuple(slot.ulid for slot in slots if _is_gone(slot, worker)):
        return MarkGone(gone)
    if worker.code != code:
        return Upload()
    if worker.published_hash != content_hash(desired) or worker.unfinished:
        wait = _coalesce(worker, slots, urgent=urgent, now=now)
        if wait > 0 and not worker.unfinished:
            return WaitToPublish(wait, "more databases are on their way to this shard")
        return Publish()
    if worker.live_generation < worker.published_generation:
        return AskRunning()
    return NothingToPublish()


def _is_served(slot: Slot, worker: Worker) -> bool:
    """Say whether a slot is served by now and nobody wrote that down."""
    if slot.live or slot.leaving or slot.database_id is None or slot.generation is None:
        return False
    return slot.generation <= worker.live_generation


def _is_gone(slot: Slot, worker: Worker) -> bool:
    """Say whether a slot is served no more and nobody wrote that down."""
    if slot.gone or not slot.leaving:
        return False
    if slot.generation is None:
        return True  # no publish ever contained it
    return slot.left_generation is not None and slot.left_generation <= worker.live_generation


def _coalesce(worker: Worker, slots: Sequence[Slot], *, urgent: bool, now: datetime) -> float:
    """Return how long to wait so that one publish serves more databases, in seconds."""
    if urgent:
        since = worker.published_at
        return 0.0 if since is None else (since + COALESCE_URGENT - now).total_seconds()
    if all(slot.database_id is not None for slot in slots):
        return 0.0
    waiting = [s.made_at for s in slots if s.generation is None and s.made_at is not None]
    if not waiting:
        return 0.0
    # Whether one is stuck shows in that no other comes: then those that are made wait no longer.
    until = min(min(waiting) + COALESCE_LAZY, max(waiting) + COALESCE_PAUSE)
    return min((until - now).total_seconds(), 2.0)
