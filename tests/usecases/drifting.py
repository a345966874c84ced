"""A fleet with tenants that others meddle with, and the reconciler that finds it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import cloudflare
import httpx

from local.cloudflare import Emulator
from shared.aws.runs import Runs
from shared.aws.table import Delete
from shared.domain.database import DatabaseStatus
from shared.usecases.after_sweep import AfterSweep
from shared.usecases.drift_run import RunAnswer, read_run
from shared.usecases.findings import KeepFindings
from shared.usecases.push_migrations import push_migrations
from shared.usecases.reconcile import Reconcile
from shared.usecases.settle_repairs import SettleRepairs
from tests.support.events import signup
from tests.usecases.conftest import MIGRATIONS
from tests.usecases.killing import WatchedAws
from tests.usecases.test_signup_path import accept, fill_pool
from tests.usecases.vandals import Account
from tests.usecases.world import World

LONG = 10_000.0
TENANTS = ("one", "two", "three")


@contextmanager
def a_fleet(world: World, emulator: Emulator, folder: Path) -> Iterator["Drifting"]:
    """Give a fleet of three tenants, in which nothing has drifted."""
    column = {"0002_when.sql": b"ALTER TABLE notes ADD COLUMN created_at TEXT;"}
    both = MIGRATIONS | column
    push_migrations(world.outside.migrations, both, pushed_by="test", now=world.clock)
    fill_pool(world)
    with (
        httpx.Client() as http,
        cloudflare.Cloudflare(
            api_token=emulator.api_token, base_url=emulator.base_url, max_retries=0
        ) as sdk,
    ):
        account = Account(world, emulator, sdk, folder, http)
        account.tenants(*TENANTS)
        world.clock.pass_(minutes=10)
        drifting = Drifting(account)
        assert drifting.one_pass() == set()
        yield drifting


@dataclass
class Drifting:
    """Hold a fleet, the reconciler and what it found last."""

    account: Account
    findings: KeepFindings = field(init=False)
    runs: Runs = field(init=False)
    depths: dict[str, int] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.findings = KeepFindings(self.world.control)
        control = self.world.control
        s3: Any = WatchedAws("s3", boto3.client("s3"), self.world.executioner)
        self.runs = Runs(control.state.table, s3, control.settings.bucket_name)

    @property
    def world(self) -> World:
        return self.account.world

    @property
    def reconcile(self) -> Reconcile:
        world = self.world
        return Reconcile(world.control, world.outside, self.findings, self.runs, self.count)

    @property
    def settle(self) -> SettleRepairs:
        world = self.world
        return SettleRepairs(world.control, world.outside, self.findings, self.runs, self.count)

    @property
    def after_sweep(self) -> AfterSweep:
        return AfterSweep(self.reconcile, self.settle)

    def count(self) -> Mapping[str, int]:
        return {"work": len(self.world.queues.heap)} | self.depths

    def one_pass(
        self, *, dry: bool = False, time_left: Callable[[], float] = lambda: LONG
    ) -> set[tuple[str, str | None]]:
        """Let the reconciler look; return which kinds it found, and whose."""
        answer = self.reconcile(trace="t", time_left=time_left, dry=dry)
        assert answer.state == "done"
        return self.read(answer)

    def until(self, step: str) -> Callable[[], float]:
        """Return a clock of an invocation that has no time left for a step of the newest pass."""

        def time_left() -> float:
            [*_, run_id] = self.runs.unfinished()
            return 0.0 if read_run(self.runs, run_id).todo[0] == step else LONG

        return time_left

    def read(self, answer: RunAnswer) -> set[tuple[str, str | None]]:
        self.report = self.runs.read(answer.report)
        assert self.report["notes"] == []
        return {
            (each["kind"], each["tenant_id"] or each["database_name"] or None)
            for each in self.report["findings"]
        }

    def work(self) -> None:
        """Let the workers do what they were asked for."""
        self.world.run()
        assert self.account.emulator.settle()

    def settled(self) -> dict[str, Any]:
        """Let the workers do their work, and look whether it helped."""
        self.work()
        answer = self.settle(self.report["run"], "t")
        self.report = self.runs.read(f"{self.report['run']}.json")
        return answer

    def told(self) -> list[str]:
        """Return what people are told of since this was last asked, and take it as sent."""
        control = self.world.control
        rows = [row for row in control.outbox.waiting() if row["kind"] == "alert"]
        for row in rows:
            control.state.table.write(Delete({"pk": str(row["pk"]), "sk": str(row["sk"])}))
        return sorted(f"{row['detail']['state']} {row['detail']['kind']}" for row in rows)

    # What others do, by the official SDK

    def sql(self, database_id: str, sql: str) -> None:
        self.account.sdk.d1.database.query(database_id, account_id=self.account.id, sql=sql)

    def directory(self, sql: str) -> None:
        self.sql(self.world.control.fleet.get().directory_id, sql)

    def delete_database(self, database_id: str) -> None:
        self.account.sdk.d1.database.delete(database_id, account_id=self.account.id)

    def create_database(self, name: str) -> str:
        made = self.account.sdk.d1.database.create(account_id=self.account.id, name=name)
        assert made.uuid is not None
        return made.uuid

    def lose(self, pk: str, sk: str = "META") -> None:
        """Delete an item of the table by hand."""
        boto3.resource("dynamodb").Table("state").delete_item(Key={"pk": pk, "sk": sk})

    def sign_up(self, tenant: str) -> None:
        """Let the auth provider say that there is a tenant."""
        event = signup(tenant, event_id=f"evt_{tenant}")
        accept(self.world).signup(event, body_sha256=tenant, trace="t")

    # What is so

    def of(self, tenant: str) -> Any:
        return self.world.control.state.tenant(tenant)

    def pooled(self) -> Any:
        return next(iter(self.world.control.state.databases("weur", DatabaseStatus.READY)))

    def serves(self, *tenants: str) -> None:
        for tenant in tenants:
            answer = self.account.notes(tenant)
            assert answer.status_code == 200
            assert [note["text"] for note in answer.json()] == [f"of {tenant}"]


def vandalise(drifting: Drifting) -> None:
    """Take a binding away, falsify a row, delete a database of the pool."""
    one = drifting.of("one")
    drifting.account.edit(one.shard, without=one.binding)
    drifting.directory("UPDATE tenant SET state = 'suspended' WHERE tenant_id = 'two'")
    drifting.delete_database(drifting.pooled().database_id)


def whole(drifting: Drifting) -> None:
    """See that all of it is mended, and once."""
    drifting.work()
    drifting.world.clock.pass_(minutes=10)
    assert drifting.one_pass() == set()
    drifting.serves(*TENANTS)
