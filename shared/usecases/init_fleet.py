"""Make what a fleet stands on: its identity, directory, router and first shard. Once, or again.

Every step looks before it acts, so that it can be run as often as one likes. A script that exists
is never rewritten here: publishing is the bind function's, one writer a Worker.
"""

import logging
import secrets as randomness
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shared.aws.fleet import Fleet
from shared.aws.items import Change
from shared.cloudflare.client import LaneClient
from shared.cloudflare.errors import BadToken, NoWorkersSubdomain, WorkerNotFound
from shared.domain.budget import Lane
from shared.domain.messages import Message
from shared.domain.names import directory_name, router_script
from shared.domain.outcomes import Done, GaveUp, RetryLater
from shared.domain.worker import GENERATION, Role, Worker
from shared.errors import Conflict, Permanent, Transient
from shared.usecases.context import Control
from shared.usecases.fill_pool import fill_pools
from shared.usecases.outside import Outside
from shared.usecases.publish_worker import PublishWorker
from shared.usecases.refill_pool import open_shard
from shared.usecases.worker_code import WorkerCode

__all__ = ["DIRECTORY_SCHEMA", "InitFleet"]

DIRECTORY_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tenant (
  tenant_id TEXT PRIMARY KEY, shard TEXT, binding TEXT, database_uuid TEXT, state TEXT NOT NULL,
  schema_version TEXT, version INTEGER NOT NULL, updated_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS owner (
  database_uuid TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, since TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS fleet (uid TEXT PRIMARY KEY, name TEXT NOT NULL);
"""
TRIES: Final = 60

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class InitFleet:
    """Set a fleet up. `pause` waits so many seconds, `tell` hears of each step."""

    control: Control
    outside: Outside
    pause: Callable[[float], None]
    tell: Callable[[str], None]

    def __call__(self) -> Fleet:
        """Make what is missing; return the fleet.

        Raises:
            Permanent: one line that says what a person must do.
            Transient: Cloudflare or AWS did not answer; run it again.
        """
        cloudflare = self.outside.cloudflare().on(Lane.REPAIR)
        self._check_token(cloudflare)
        self._check_secret()
        address = self._address(cloudflare)
        fleet = self._identity()
        fleet = self._directory(cloudflare, fleet, address)
        self._router(cloudflare, fleet)
        self._publish_router()
        if not self.control.pools.shards():
            open_shard(self.control, 1, "init")
            self.tell("opened the first shard")
        # Whatever stopped the pools before there was a fleet is over now.
        fill_pools(self.control, (), "init")
        return fleet

    def _check_token(self, cloudflare: LaneClient) -> None:
        status = cloudflare.account.verify_token()
        if status.status != "active":
            raise Permanent(f"the API token is {status.status}: make a new one at Cloudflare")
        missing = []
        for permission, look in (
            ("D1 Write", lambda: cloudflare.d1.get(directory_name(self.control.settings.fleet))),
            ("Workers Scripts Write", lambda: cloudflare.workers.exists(self._router_name)),
        ):
            try:
                look()
            except BadToken:
                missing.append(permission)
        if missing:
            raise Permanent(f"give the API token the permissions {' and '.join(missing)}")
        self.tell("the API token is active and may use D1 and Workers")

    def _check_secret(self) -> None:
        if not self.outside.admin_secret():
            raise Permanent("put a secret (whsec_ and 32 bytes in base64) into router-admin")

    def _address(self, cloudflare: LaneClient) -> str:
        """Return where the router answers."""
        given = self.control.settings.router_url
        if given:
            return given.rstrip("/")
        try:
            subdomain = cloudflare.workers.account_subdomain()
        except NoWorkersSubdomain:
            raise Permanent(
                "this account has no workers.dev subdomain: open Workers & Pages in Cloudflare's "
                "dashboard once to get one, or set ROUTER_URL to a route of your own"
            ) from None
        where = self.control.settings.workers_dev_url
        return where.replace("{script}", self._router_name).replace("{subdomain}", subdomain)

    @property
    def _router_name(self) -> str:
        return router_script(self.control.settings.fleet)

    def _identity(self) -> Fleet:
        """Write the fleet's uid down before anything carries it."""
        settings, store = self.control.settings, self.control.fleet
        fleet = store.read()
        if fleet is None:
            fleet = Fleet(
                fleet=settings.fleet,
                uid=randomness.token_hex(16),
                account_id=settings.cloudflare_account_id,
                directory_id="",
                router_url="",
                created_at=self.control.now(),
            )
            try:
                store.create(fleet)
            except Conflict:
                fleet = store.read() or fleet
            else:
                self.tell(f"gave fleet {settings.fleet} its identity")
        if (fleet.fleet, fleet.account_id) != (settings.fleet, settings.cloudflare_account_id):
            raise Permanent(
                f"this table belongs to fleet {fleet.fleet} in account {fleet.account_id}: "
                "FLEET and CLOUDFLARE_ACCOUNT_ID can't be changed later"
            )
        return fleet

    def _directory(self, cloudflare: LaneClient, fleet: Fleet, address: str) -> Fleet:
        name = directory_name(fleet.fleet)
        found = cloudflare.d1.get(name)
        if fleet.directory_id and (found is None or found.uuid != fleet.directory_id):
            raise Permanent(
                f"the directory {name} that this fleet had is gone: ask Cloudflare's support for "
                "it; an empty one would forget who owns which database"
            )
        if found is None:
            found = cloudflare.d1.create(name, self.control.settings.default_class)
            self.tell(f"created the directory {name}")
        cloudflare.d1.query(found.uuid, DIRECTORY_SCHEMA)
        cloudflare.d1.query(
            found.uuid,
            "INSERT INTO fleet (uid, name) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM fleet)",
            [fleet.uid, fleet.fleet],
        )
        rows = cloudflare.d1.query(found.uuid, "SELECT uid FROM fleet", read_only=True)[0].results
        if [row["uid"] for row in rows] != [fleet.uid]:
            raise Permanent(
                f"the D1 database {name} belongs to another stack: give this one another FLEET "
                "name, or an account of its own"
            )
        wanted = fleet.model_copy(update={"directory_id": found.uuid, "router_url": address})
        if wanted != fleet:
            self.control.fleet.replace(wanted)
        return wanted

    def _router(self, cloudflare: LaneClient, fleet: Fleet) -> None:
        """Write the router's record; take over what a script that exists already has."""
        if self.control.state.worker(self._router_name) is not None:
            return
        now = self.control.now()
        known: dict[str, Any] = {}
        try:
            bindings = cloudflare.workers.settings(self._router_name).bindings
        except WorkerNotFound:
            self.tell(f"the router {self._router_name} will be uploaded")
        else:
            known = _taken_over(bindings, fleet)
        router = Worker(
            script=self._router_name,
            role=Role.ROUTER,
            created_at=now,
            updated_at=now,
            status_since=now,
            **known,
        )
        try:
            self.control.state.commit(Change(None, router))
        except Conflict:
            log.info("somebody else recorded the router")

    def _publish_router(self) -> None:
        """Publish the router and wait until it is seen live."""
        publish = PublishWorker(self.control, self.outside, WorkerCode())
        message = Message(kind="shard", id=self._router_name, trace="init")
        why = ""
        for _ in range(TRIES):
            outcome = publish(message)
            worker = self.control.state.worker(self._router_name)
            if worker is not None and 0 < worker.published_generation <= worker.live_generation:
                self.tell(f"the router serves generation {worker.live_generation}")
                return
            match outcome:
                case GaveUp(reason=reason):
                    raise Permanent(reason)
                case RetryLater(why=why):
                    pass
                case Done():
                    why = why or "it is being published by the bind function"
            self.pause(0.25)
        raise Transient(f"the router is not live yet ({why}): run this again in a minute")


def _taken_over(bindings: Sequence[Mapping[str, Any]], fleet: Fleet) -> dict[str, Any]:
    """Return what the record of a router that exists already must say."""
    texts = {b["name"]: b.get("text") for b in bindings if b["type"] == "plain_text"}
    if texts.get("D1FLEET_FLEET_UID") != fleet.uid:
        raise Permanent(
            "a Worker with the router's name exists and is not this fleet's: give this stack "
            "another FLEET name, or an account of its own"
        )
    generation = int(texts.get(GENERATION) or 0)
    return {
        "code": str(texts.get("D1FLEET_CODE") or ""),
        "generation": generation,
        "published_generation": generation,
    }
